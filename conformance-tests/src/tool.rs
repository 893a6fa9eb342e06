//! What a check needs of the harness beyond opening the backend.

/// What a check needs of the harness beyond opening the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Nothing.
    Nothing,
    /// A way to the data behind the broker's back.
    Probe,
    /// Another process that opens the same place.
    Child,
    /// A way to reach the server through a proxy, and to start a server of its own.
    Network,
}

impl Tool {
    /// Why the check stays untested without the tool.
    pub(crate) fn lacking(self) -> &'static str {
        match self {
            Self::Nothing => "nothing is lacking",
            Self::Probe => "its harness has no probe behind the broker's back",
            Self::Child => "its harness runs no child processes",
            Self::Network => "its harness has no server to attack",
        }
    }
}
