//! The simulator as the `oxide` client sees it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod coverage;
mod crashes;
mod disks;
mod faults;
mod images;
mod instances;
mod networks;
mod pages;
mod protocol;
mod support;
mod tailnet;
mod tls;
