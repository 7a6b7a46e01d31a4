//! The simulator as the `oxide` client sees it.

mod crashes;
mod disks;
mod faults;
mod images;
mod instances;
mod networks;
mod pages;
mod protocol;
mod support;
mod tls;
