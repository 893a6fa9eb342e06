//! What a check needs of the harness beyond opening the backend.

use crate::probe::Probing;

/// What a check needs of the harness beyond opening the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Nothing.
    Nothing,
    /// A probe that counts the messages that are kept.
    Messages,
    /// A probe that publishes as another program does.
    Plant,
    /// A probe that makes a queue with other settings.
    Conflict,
    /// A password that the backend is opened with.
    Secret,
    /// Clients that are opened with a clock of their own.
    Clock,
    /// Another process that opens the same place.
    Child,
    /// A way to reach the server through a proxy, and to start a server of its own.
    Network,
    /// A ledger whose broker and store are one engine.
    OneEngine,
    /// A store that keeps large bodies.
    Blobs,
}

impl Tool {
    /// The tool that a probe is for a check; the rest of what probes do is welcome where they do it.
    pub(crate) fn of_probe(offered: Probing) -> Option<Self> {
        match offered {
            Probing::Messages => Some(Self::Messages),
            Probing::Plant => Some(Self::Plant),
            Probing::Conflict => Some(Self::Conflict),
            Probing::Clients => None,
        }
    }

    /// Why the check stays untested without the tool.
    pub(crate) fn lacking(self) -> &'static str {
        match self {
            Self::Nothing => "nothing is lacking",
            Self::Messages => "its harness cannot count the messages that are kept",
            Self::Plant => "its harness cannot publish as another program does",
            Self::Conflict => "its harness cannot make a queue with other settings",
            Self::Secret => "its harness opens it without a password",
            Self::Clock => "its harness opens no client with a clock of its own",
            Self::Child => "its harness runs no child processes",
            Self::Network => "its harness has no server to attack",
            Self::OneEngine => "its broker is another engine than its store",
            Self::Blobs => "its store keeps no large bodies",
        }
    }
}
