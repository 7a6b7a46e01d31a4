//! Telling watchers what is new, and nothing else.

use tokio::sync::watch;

/// Sends a value where it is another than the last one: equal states are one.
pub fn send_if_new<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|sent| {
        let is_new = *sent != value;
        if is_new {
            *sent = value;
        }
        is_new
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_sent_once() {
        let (sender, mut receiver) = watch::channel(0);
        for (value, is_new) in [(0, false), (1, true), (1, false), (2, true)] {
            send_if_new(&sender, value);
            assert_eq!((receiver.has_changed().unwrap(), *receiver.borrow_and_update()), (is_new, value));
        }
    }
}
