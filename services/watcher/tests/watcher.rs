//! The whole watcher in one process, against a small store and the real renderer.

mod watcher {
    mod den;
    mod store;

    mod arriving;
    mod full_disk;
    mod hostile;
    mod kill;
    mod leaving;
    mod serving;
    mod store_away;
}
