//! The contract keeps the STANDARD and COMMENTS rules that protobuf users expect.

use std::collections::HashMap;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::report;

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the descriptor set is one");
    set.file
        .into_iter()
        .filter(|file| file.package().starts_with("kumo."))
        .collect()
}

#[test]
fn packages_are_folders_with_a_version() {
    let wrong: Vec<String> = files()
        .iter()
        .filter(|file| {
            let folder = file
                .name()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            folder.replace('/', ".") != file.package() || !file.package().ends_with(".v1")
        })
        .map(|file| format!("{}: package {}", file.name(), file.package()))
        .collect();
    report(
        "Rule: directory = package, and its last part is the version.",
        &wrong,
    );
}

#[test]
fn requests_and_responses_are_named_after_their_rpc_and_used_once() {
    let mut wrong = Vec::new();
    let mut users: HashMap<String, usize> = HashMap::new();
    for file in files() {
        for service in &file.service {
            if !service.name().ends_with("Service") {
                wrong.push(format!(
                    "service {} does not end in Service",
                    service.name()
                ));
            }
            for method in &service.method {
                let of = |suffix| format!(".{}.{}{suffix}", file.package(), method.name());
                if method.input_type() != of("Request") || method.output_type() != of("Response") {
                    wrong.push(format!("{}.{}", service.name(), method.name()));
                }
                *users.entry(method.input_type().to_owned()).or_default() += 1;
                *users.entry(method.output_type().to_owned()).or_default() += 1;
            }
        }
    }
    wrong.extend(
        users
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(name, _)| name),
    );
    report(
        "Rule: each RPC has its own RpcRequest and RpcResponse.",
        &wrong,
    );
}

#[test]
fn enums_are_prefixed_and_zero_is_unspecified() {
    let mut wrong = Vec::new();
    for file in files() {
        let nested = file
            .message_type
            .iter()
            .flat_map(|message| &message.enum_type);
        for kind in file.enum_type.iter().chain(nested) {
            wrong.extend(enum_faults(kind));
        }
    }
    report(
        "Rule: values are ENUM_NAME_VALUE, and 0 is ENUM_NAME_UNSPECIFIED.",
        &wrong,
    );
}

fn enum_faults(kind: &EnumDescriptorProto) -> Vec<String> {
    let mut prefix = String::new();
    for (index, letter) in kind.name().char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    kind.value
        .iter()
        .filter(|value| {
            let unspecified = value.name() == format!("{prefix}_UNSPECIFIED");
            !value.name().starts_with(&format!("{prefix}_")) || (value.number() == 0) != unspecified
        })
        .map(|value| format!("{}.{}", kind.name(), value.name()))
        .collect()
}

#[test]
fn everything_in_the_contract_is_explained() {
    let mut silent = Vec::new();
    for file in files() {
        let info = file.source_code_info.clone().unwrap_or_default();
        let explained: HashMap<Vec<i32>, bool> = info
            .location
            .into_iter()
            .map(|location| {
                let said = !location.leading_comments().trim().is_empty();
                (location.path, said)
            })
            .collect();
        assert!(
            !explained.is_empty(),
            "{} has source information",
            file.name()
        );
        for (path, name) in places(&file) {
            if !explained.get(&path).copied().unwrap_or(false) {
                silent.push(format!("{}: {name}", file.name()));
            }
        }
    }
    report(
        "Rule: every service, RPC, message, field, enum and value has a comment.",
        &silent,
    );
}

/// The path in the descriptor, and the name, of everything that needs a comment.
fn places(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let number = |index: usize| i32::try_from(index).expect("descriptors are small");
    let mut places = Vec::new();
    for (s, service) in file.service.iter().enumerate() {
        places.push((vec![6, number(s)], service.name().to_owned()));
        for (m, method) in service.method.iter().enumerate() {
            places.push((vec![6, number(s), 2, number(m)], method.name().to_owned()));
        }
    }
    for (m, message) in file.message_type.iter().enumerate() {
        places.push((vec![4, number(m)], message.name().to_owned()));
        places.extend(fields(message, &[4, number(m)]));
    }
    for (e, kind) in file.enum_type.iter().enumerate() {
        places.push((vec![5, number(e)], kind.name().to_owned()));
        for (v, value) in kind.value.iter().enumerate() {
            places.push((vec![5, number(e), 2, number(v)], value.name().to_owned()));
        }
    }
    places
}

fn fields(message: &DescriptorProto, at: &[i32]) -> Vec<(Vec<i32>, String)> {
    message
        .field
        .iter()
        .enumerate()
        .map(|(f, field)| {
            let mut path = at.to_vec();
            path.extend([2, i32::try_from(f).expect("descriptors are small")]);
            (path, format!("{}.{}", message.name(), field.name()))
        })
        .collect()
}
