//! The contract: generated messages, clients and servers, and the descriptor set everything else is compiled from.

pub mod codec;

/// The encoded `FileDescriptorSet` with comments and custom options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! package {
    ($($name:ident),+) => {$(
        #[doc = concat!("Package `missioncontrol.", stringify!($name), ".v1`.")]
        pub mod $name {
            /// Version 1.
            pub mod v1 {
                #![allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated code")]
                include!(concat!(env!("OUT_DIR"), "/missioncontrol.", stringify!($name), ".v1.rs"));
            }
        }
    )+};
}

package!(activity, agent, approval, board, common, event, gateway, identity, org);
