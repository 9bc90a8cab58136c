//! Is a changed picture found again? A library with many pictures that look alike on purpose, known
//! changes, and a table of how often the right one comes first.

mod change;
mod library;
mod scene;
mod table;
mod trial;

pub use change::{Change, Kind};
pub use library::Library;
pub use table::{Table, write_between_marks};
pub use trial::{CHANNELS, Trial};
