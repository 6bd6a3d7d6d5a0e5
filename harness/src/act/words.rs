//! The words that acts and scenarios share: what is damaged and how, how a link is cut, what a backup holds.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $word),+ })
            }
        }
    };
}

words! {
    /// What a user notices when a link is cut.
    CutMode {
        /// Connections are reset, new ones refused.
        Refuse = "refuse",
        /// Bytes vanish; nothing is closed.
        Blackhole = "blackhole",
    }
}

words! {
    /// Which bytes of a link a cut stops.
    Direction {
        /// Both ways.
        Both = "both",
        /// Requests are lost.
        ToNode = "to_node",
        /// Answers are lost.
        FromNode = "from_node",
    }
}

words! {
    /// Which stored files a fault damages.
    Artifact {
        /// The index file of a vector node.
        Index = "index",
        /// Segment files of a vector node.
        Segment = "segment",
        /// The write-ahead log.
        Log = "log",
        /// The manifest that names all other files.
        Manifest = "manifest",
        /// Stored objects.
        Object = "object",
        /// Objects that backups are made of.
        Backup = "backup",
        /// Objects that the model registry refers to.
        Model = "model",
        /// Feature values of entities.
        Values = "values",
        /// Feature definitions.
        Definitions = "definitions",
        /// Pages of a database's tables, on its drive.
        Heap = "heap",
        /// A store's own files on its drive, past its users' door.
        Drive = "drive",
        /// Roles of a feature store: what an intruder leaves behind.
        Roles = "roles",
    }
}

words! {
    /// How files are damaged.
    Damage {
        /// Single bits are flipped.
        Flip = "flip",
        /// The end is cut off.
        Truncate = "truncate",
        /// A range is zeroed.
        Zero = "zero",
        /// The file is gone.
        Delete = "delete",
        /// The file is replaced by a valid one of other data; feature values change places with those of others.
        Swap = "swap",
        /// The file is replaced by a valid one of another kind: an index of lists where a graph should be.
        OtherKind = "other_kind",
        /// Feature values are moved by a constant, definitions are altered.
        Shift = "shift",
        /// Feature values are overwritten through the store's own door, as with a stolen account: their checksums are
        /// right, and standbys copy them.
        Forge = "forge",
    }
}

words! {
    /// Which engine builds an index.
    EngineChoice {
        /// The one that the store builds with by itself: the CPU engine in world `local`.
        Auto = "auto",
        /// The CPU engine.
        Cpu = "cpu",
        /// The OpenCL engine; where it cannot be had the CPU engine goes on, and the report says why.
        OpenCl = "opencl",
    }
}

words! {
    /// What a backup holds.
    #[derive(Default)]
    BackupKind {
        /// Everything.
        #[default]
        Full = "full",
        /// What has changed since the backup before.
        Incremental = "incremental",
    }
}

impl BackupKind {
    pub(super) fn is_full(&self) -> bool {
        *self == BackupKind::Full
    }
}

words! {
    /// What a restore brings back.
    #[derive(Default)]
    RestoreScope {
        /// Everything.
        #[default]
        Full = "full",
        /// What critical services need, first; the rest follows.
        Minimal = "minimal",
        /// Of a vector store: metadata, log and objects as they were at one moment, then what was written since; refused
        /// where they are not of one moment. Of a feature store: its cluster and its log, up to the newest moment at
        /// which the audit finds nothing (point-in-time recovery).
        Moment = "moment",
    }
}

impl RestoreScope {
    pub(super) fn is_full(&self) -> bool {
        *self == RestoreScope::Full
    }
}

words! {
    /// How a region is lost.
    #[derive(Default)]
    LossKind {
        /// Every process of it ends without warning.
        #[default]
        Kill = "kill",
        /// Nobody reaches it, and it reaches nobody; its processes go on.
        Partition = "partition",
    }
}
