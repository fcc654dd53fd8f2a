//! The claims of an Azure principal (`X-MS-CLIENT-PRINCIPAL`): pairs of type and value, of which types may repeat.

use serde_json::Value;

use super::Claims;

/// The pairs as claims: a type that comes once has its value, another the list of its values. `name_typ` and `role_typ`
/// stand for the types that the payload names so. `None` where there is no list of pairs.
///
/// One odd pair costs itself: what is no type with a value is passed over.
pub(super) fn claims(mut members: Claims) -> Option<Claims> {
    let Value::Array(pairs) = members.remove("claims")? else { return None };
    let mut claims = Claims::new();
    for pair in pairs {
        let Value::Object(mut pair) = pair else { continue };
        let (Some(Value::String(typ)), Some(value)) = (pair.remove("typ"), pair.remove("val")) else { continue };
        if !value.is_null()
            && let Value::Array(values) = claims.entry(typ).or_insert_with(|| Value::Array(Vec::new()))
        {
            values.push(value);
        }
    }
    for own in claims.values_mut() {
        if let Value::Array(values) = own
            && values.len() == 1
            && let Some(one) = values.pop_if(|one| !one.is_array())
        {
            *own = one;
        }
    }
    for alias in ["name_typ", "role_typ"] {
        let typ = members.get(alias).and_then(Value::as_str);
        let value = typ.and_then(|typ| claims.get(typ)).cloned().unwrap_or_default();
        claims.insert(alias.to_owned(), value);
    }
    Some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &Value) -> Option<Value> {
        claims(text.as_object()?.clone()).map(Value::Object)
    }

    #[test]
    fn pairs_become_claims() {
        let text = json!({ "auth_typ": "aad", "name_typ": "mail", "role_typ": "roles", "claims": [
            { "typ": "oid", "val": "1" }, { "typ": "mail", "val": "a@b" },
            { "typ": "roles", "val": "x" }, { "typ": "roles", "val": "y" },
        ] });
        let expected =
            json!({ "oid": "1", "mail": "a@b", "roles": ["x", "y"], "name_typ": "a@b", "role_typ": ["x", "y"] });
        assert_eq!(read(&text), Some(expected));
        for wrong in [json!({}), json!({ "claims": {} }), json!({ "claims": null })] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_odd_pair_costs_itself() {
        let text = json!({ "name_typ": 1, "role_typ": "roles", "claims": [
            { "typ": "name", "val": "J" }, { "typ": "roles", "val": "x" }, { "typ": "name", "val": null },
            { "typ": 2, "val": "a" }, { "typ": null, "val": "a" }, { "val": "a" }, { "typ": "a" }, null, 7, "a", [],
            { "typ": "roles", "val": 9 }, { "typ": "list", "val": ["a"] }, { "typ": "name_typ", "val": "no" },
        ] });
        let expected = json!({
            "name": "J", "roles": ["x", 9], "list": [["a"]], "name_typ": null, "role_typ": ["x", 9],
        });
        assert_eq!(read(&text), Some(expected));
    }
}
