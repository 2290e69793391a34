//! Descriptors to plans, once, at start. Everything that cannot be served is refused here, by name.

mod messages;
mod routes;

use std::{collections::HashMap, sync::Arc};

use prost::Message as _;
use prost_reflect::{DescriptorPool, FileDescriptor};

use crate::{
    catalog::{CompileError, Inner},
    options,
    shape::{Shape, Table},
};

use messages::Compiler;
use routes::Builder;

fn error(place: &str, what: impl Into<String>) -> CompileError {
    CompileError {
        place: place.to_owned(),
        what: what.into(),
    }
}

pub(crate) fn catalog(descriptor_set: &[u8]) -> Result<Inner, CompileError> {
    let pool = DescriptorPool::decode(descriptor_set).map_err(|cause| error("descriptor set", cause.to_string()))?;
    let mut compiler = Compiler::new(&pool);
    for message in pool
        .all_messages()
        .filter(|message| !foreign(message.package_name()) && !message.is_map_entry())
    {
        compiler.message(&message)?;
    }
    let mut planned = Vec::new();
    for service in pool.services().filter(|service| !foreign(service.package_name())) {
        for method in service.methods() {
            let options = options::MethodOptions::decode(method.options().encode_to_vec().as_slice())
                .map_err(|cause| error(method.full_name(), cause.to_string()))?;
            let input = compiler.message(&method.input())?;
            let output = compiler.message(&method.output())?;
            planned.push((method, options, input, output));
        }
    }
    let Compiler {
        messages,
        enums,
        by_name,
        comments,
        ..
    } = compiler;
    let table = Arc::new(Table {
        messages: messages.into_iter().flatten().collect(),
        enums,
        by_name,
    });
    let mut builder = Builder::default();
    for (method, options, input, output) in planned {
        let description = comments.of(&method.parent_file(), method.path());
        let shape = |index| {
            Arc::new(Shape {
                table: table.clone(),
                index,
            })
        };
        builder.method(&method, options, shape(input), shape(output), description)?;
    }
    let Builder {
        methods,
        order,
        routes,
        tree,
        ..
    } = builder;
    Ok(Inner {
        table,
        methods,
        order,
        routes,
        tree,
    })
}

/// Packages that belong to protobuf and gRPC themselves.
fn foreign(package: &str) -> bool {
    ["google", "grpc"].iter().any(|root| {
        package
            .strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Comments by file and path into its descriptor.
struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

impl Comments {
    fn new(pool: &DescriptorPool) -> Self {
        let file = |file: FileDescriptor| {
            let locations = file
                .file_descriptor_proto()
                .source_code_info
                .iter()
                .flat_map(|info| &info.location);
            let comments = locations.filter_map(|location| {
                let text = location
                    .leading_comments
                    .as_ref()
                    .or(location.trailing_comments.as_ref())?;
                Some((location.path.clone(), tidy(text)))
            });
            (file.name().to_owned(), comments.collect())
        };
        Self(pool.files().map(file).collect())
    }

    fn of(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0
            .get(file.name())
            .and_then(|comments| comments.get(path))
            .cloned()
            .unwrap_or_default()
    }
}

/// Comment lines without the blank after `//`; paragraphs stay, lines within them are joined.
fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    let mut fresh = true;
    for line in text.trim().lines() {
        let line = line.trim();
        if line.is_empty() {
            tidy.push_str("\n\n");
            fresh = true;
        } else if !line.starts_with("buf:") {
            if !fresh {
                tidy.push(if line.starts_with("- ") { '\n' } else { ' ' });
            }
            tidy.push_str(line);
            fresh = false;
        }
    }
    tidy.trim().to_owned()
}
