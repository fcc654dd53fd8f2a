//! ingress-nginx: Ingress objects, as the controller's template turns them and their annotations into nginx's configuration.
//!
//! Left out: TLS, host names, WebSocket, timeouts, Lua, and whatever else does not decide who is let in as whom. The Lua of
//! the controller chooses a pod of the Service, and does nothing to headers while `auth-keepalive` is not set.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::gateway_api::Metadata;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    ingress_class_name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    host: String,
    http: Paths,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    paths: Vec<Served>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Served {
    path: String,
    path_type: String,
    backend: Backend,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Backend {
    service: Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    port: Port,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    number: u16,
}

/// The annotations that the file uses, without their prefix.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Annotations {
    auth_url: Option<String>,
    auth_response_headers: Option<String>,
    proxy_buffer_size: Option<String>,
}

/// nginx's configuration, made of the documents of `docs/proxies/ingress-nginx.yaml`.
pub fn nginx(documents: &[Value]) -> String {
    let locations: String = documents.iter().map(ingress).collect();
    format!("server {{\n    listen 127.0.0.1:8000;\n{locations}}}\n")
}

fn ingress(document: &Value) -> String {
    assert_eq!(document["kind"], "Ingress");
    let mut metadata = document["metadata"].clone();
    let annotations = metadata.as_object_mut().unwrap().remove("annotations").unwrap_or_default();
    let metadata: Metadata = serde_json::from_value(metadata).expect("metadata");
    let own: BTreeMap<&str, &Value> =
        annotations.as_object().into_iter().flatten().map(|(key, value)| (unprefixed(key), value)).collect();
    let annotations: Annotations = serde_json::from_value(serde_json::to_value(own).unwrap()).expect("annotations");
    let spec: Spec = serde_json::from_value(document["spec"].clone()).expect("an Ingress");
    assert_eq!((spec.ingress_class_name.as_str(), spec.rules[0].host.as_str()), ("nginx", "app.example.com"));
    spec.rules[0].http.paths.iter().map(|path| location(&metadata.name, path, &annotations)).collect()
}

fn unprefixed(key: &str) -> &str {
    key.strip_prefix("nginx.ingress.kubernetes.io/").expect("an annotation of the controller")
}

/// The location of a path, and the one that asks about it.
fn location(name: &str, path: &Served, annotations: &Annotations) -> String {
    let matches = match path.path_type.as_str() {
        "Exact" => format!("= {}", path.path),
        "Prefix" => format!("{}/", path.path.trim_end_matches('/')),
        other => panic!("{other}"),
    };
    let size = annotations.proxy_buffer_size.as_deref().unwrap_or("4k");
    let buffers = format!("proxy_buffer_size {size};\n        proxy_buffers 4 {size};");
    let (auth, guard) = match &annotations.auth_url {
        Some(url) => (auth_location(name, url, &buffers), guard(name, annotations)),
        None => Default::default(),
    };
    let port = path.backend.service.port.number;
    format!(
        "{auth}    # Service {}\n    location {matches} {{\n{guard}        proxy_set_header Host $http_host;\n        \
         proxy_set_header Connection \"\";\n        \
         proxy_set_header X-Real-IP $remote_addr;\n        proxy_set_header X-Forwarded-For $remote_addr;\n        \
         proxy_set_header X-Forwarded-Host $http_host;\n        proxy_set_header X-Forwarded-Proto $scheme;\n        \
         {buffers}\n        proxy_http_version 1.1;\n        proxy_pass http://127.0.0.1:{port};\n    }}\n",
        path.backend.service.name
    )
}

/// Where the question goes: every header of the client, and a few of the controller's.
fn auth_location(name: &str, url: &str, buffers: &str) -> String {
    let (host, rest) = url.strip_prefix("http://").and_then(|rest| rest.split_once(':')).expect("a URL with a port");
    assert!(host.ends_with(".shop.svc.cluster.local"), "{host} is a Service of the namespace");
    format!(
        "    location = /_external-auth-{name} {{\n        internal;\n        proxy_pass_request_body off;\n        \
         proxy_set_header Content-Length \"\";\n        proxy_set_header X-Forwarded-Proto \"\";\n        \
         proxy_set_header Host {host};\n        \
         proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\n        \
         proxy_set_header X-Original-Method $request_method;\n        \
         proxy_set_header X-Sent-From \"nginx-ingress-controller\";\n        proxy_set_header X-Real-IP $remote_addr;\n        \
         proxy_set_header X-Forwarded-For $remote_addr;\n        proxy_set_header X-Auth-Request-Redirect $request_uri;\n        \
         {buffers}\n        proxy_http_version 1.1;\n        proxy_pass http://127.0.0.1:{rest};\n    }}\n"
    )
}

/// What a guarded location has on top: the question, and the answer's headers in place of the client's.
fn guard(name: &str, annotations: &Annotations) -> String {
    let headers = annotations.auth_response_headers.as_deref().unwrap_or_default();
    let taken = headers.split(',').filter(|header| !header.is_empty()).enumerate().map(|(n, header)| {
        let variable = header.to_lowercase().replace('-', "_");
        format!(
            "        auth_request_set $answer{n} $upstream_http_{variable};\n        proxy_set_header {header} $answer{n};\n"
        )
    });
    format!("        auth_request /_external-auth-{name};\n{}", taken.collect::<String>())
}
