//! What is told while work goes on that must not end half done for want of a reader.

use serde::Serialize;

use super::Terminal;
use crate::error::Error;

/// Objects of stdout, of which some may be lost.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    terminal: &'a Terminal,
    lost: Option<Error>,
}

impl<'a> Report<'a> {
    /// Nothing is told yet.
    pub(crate) fn new(terminal: &'a Terminal) -> Self {
        Self {
            terminal,
            lost: None,
        }
    }

    /// Tells an object. Once one is lost, so are all that follow: a reader gets no gaps.
    pub(crate) fn object(&mut self, object: &impl Serialize) {
        if self.lost.is_none() {
            self.lost = self.terminal.object(object).err();
        }
    }

    /// The work is done; why something of it could not be told, if so.
    pub(crate) fn end(self) -> Result<(), Error> {
        self.lost.map_or(Ok(()), Err)
    }
}
