//! The option vocabulary as it lies in the descriptors: `google.api.http` and `missioncontrol.options.v1`.
//!
//! The structs mirror the messages of those files by field number, so that the crate needs no generated code and reads
//! descriptor sets of any build.

/// Extensions of `google.protobuf.MethodOptions`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MethodOptions {
    /// `google.protobuf.MethodOptions.idempotency_level`; 1 is `NO_SIDE_EFFECTS`.
    #[prost(int32, tag = "34")]
    pub idempotency_level: i32,
    #[prost(message, optional, tag = "50201")]
    pub method: Option<Method>,
    #[prost(message, optional, tag = "72295728")]
    pub http: Option<HttpRule>,
}

/// Extensions of `google.protobuf.FieldOptions`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldOptions {
    #[prost(message, optional, tag = "50202")]
    pub field: Option<Field>,
}

/// Extensions of `google.protobuf.MessageOptions`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MessageOptions {
    #[prost(message, optional, tag = "50203")]
    pub message: Option<Message>,
}

/// `google.api.HttpRule`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HttpRule {
    #[prost(string, optional, tag = "2")]
    pub get: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub put: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub post: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub delete: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub patch: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub custom: Option<CustomHttpPattern>,
    #[prost(string, tag = "7")]
    pub body: String,
    #[prost(string, tag = "12")]
    pub response_body: String,
    #[prost(message, repeated, tag = "11")]
    pub additional_bindings: Vec<HttpRule>,
}

/// `google.api.CustomHttpPattern`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CustomHttpPattern {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub path: String,
}

/// `missioncontrol.options.v1.Hints`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hints {
    #[prost(string, tag = "1")]
    pub intent: String,
    #[prost(string, repeated, tag = "2")]
    pub when_to_use: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub when_not_to_use: Vec<String>,
    #[prost(string, tag = "4")]
    pub required_actor: String,
    #[prost(string, repeated, tag = "5")]
    pub prerequisites: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub side_effects: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    pub negative_guidance: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub routing_policy: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    pub routing_policy_examples: Vec<RoutingExample>,
}

/// `missioncontrol.options.v1.RoutingExample`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RoutingExample {
    #[prost(string, tag = "1")]
    pub input: String,
    #[prost(string, tag = "2")]
    pub decision: String,
}

/// `missioncontrol.options.v1.Operation`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Operation {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, repeated, tag = "2")]
    pub tags: Vec<String>,
    #[prost(int32, tag = "3")]
    pub credential: i32,
    #[prost(message, optional, tag = "4")]
    pub hints: Option<Hints>,
}

/// `missioncontrol.options.v1.Method`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Method {
    #[prost(int32, repeated, tag = "1")]
    pub access: Vec<i32>,
    #[prost(int32, tag = "2")]
    pub status: i32,
    #[prost(string, tag = "3")]
    pub event: String,
    #[prost(message, repeated, tag = "4")]
    pub operations: Vec<Operation>,
    #[prost(bool, tag = "5")]
    pub if_match: bool,
}

/// `missioncontrol.options.v1.Field`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the flags of the option vocabulary"
)]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Field {
    #[prost(bool, tag = "1")]
    pub required: bool,
    #[prost(string, tag = "2")]
    pub format: String,
    #[prost(bool, tag = "3")]
    pub non_empty: bool,
    #[prost(uint32, tag = "4")]
    pub max_length: u32,
    #[prost(double, optional, tag = "5")]
    pub minimum: Option<f64>,
    #[prost(double, optional, tag = "6")]
    pub maximum: Option<f64>,
    #[prost(uint32, tag = "7")]
    pub min_items: u32,
    #[prost(uint32, tag = "8")]
    pub max_items: u32,
    #[prost(int32, tag = "9")]
    pub json: i32,
    #[prost(string, tag = "10")]
    pub default_value: String,
    #[prost(bool, tag = "11")]
    pub write_only: bool,
    #[prost(string, tag = "12")]
    pub header: String,
    #[prost(bool, tag = "13")]
    pub not_null: bool,
    #[prost(string, tag = "14")]
    pub name: String,
    #[prost(bool, tag = "15")]
    pub comma_separated: bool,
    #[prost(bool, tag = "16")]
    pub hidden: bool,
    #[prost(bool, tag = "17")]
    pub event_id: bool,
    #[prost(bool, tag = "18")]
    pub query: bool,
    #[prost(bool, tag = "19")]
    pub in_body: bool,
}

/// `missioncontrol.options.v1.Message`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(bool, tag = "1")]
    pub list: bool,
    #[prost(bool, tag = "2")]
    pub file: bool,
}
