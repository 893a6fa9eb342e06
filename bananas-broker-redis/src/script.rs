//! The scripts that run on the server. Each names all its keys, and all keys of one call have one hash tag.

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        /// One of the scripts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Script {
            $($name,)+
        }

        impl Script {
            /// All of them, in the order of their numbers.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its text.
            pub(crate) const fn source(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+),)+
                }
            }
        }
    };
}

impl Script {
    /// Whether it accepts something that must not be lost, so that a confirmation is waited for if one is wanted.
    pub(crate) const fn accepts(self) -> bool {
        matches!(
            self,
            Self::PublishPlain | Self::Publish | Self::Record | Self::Keep
        )
    }
}

scripts! {
    Ensure = "ensure";
    PublishPlain = "publish_plain";
    Publish = "lanes" "publish";
    Reserve = "lanes" "refresh" "reserve";
    Recall = "lanes" "recall";
    Ack = "lanes" "ack";
    Settle = "lanes" "settle";
    Extend = "lanes" "extend";
    Ring = "ring";
    Depth = "lanes" "depth";
    Peek = "lanes" "peek";
    Purge = "lanes" "refresh" "purge";
    Dead = "dead";
    Redrive = "lanes" "redrive";
    Keep = "keep";
    Record = "store/table" "store/record";
    Change = "store/table" "store/change";
    Take = "store/table" "store/take";
    Read = "store/table" "store/read";
    Due = "store/table" "store/due";
    Lost = "store/table" "store/lost";
    Unlock = "store/table" "store/unlock";
    Aside = "store/table" "store/aside";
    Audit = "store/table" "store/audit";
    Realign = "store/table" "store/realign";
    Totals = "store/table" "store/totals";
    Renew = "store/renew";
    Owners = "store/owners";
    Retire = "store/retire";
}
