//! Compiles the parts of a definition that use a key.

use serde_json::{Map, Value};
use strum::VariantArray as _;

use super::Compiler;
use crate::definition::{Key, Mistake};
use crate::provider::calls::auth::Mac;
use crate::provider::credentials::{MacRule, SignerRule};
use crate::provider::definition::{self, Encoding, Hash, MacEncoding, Part};
use crate::provider::keys::Alg;
use crate::provider::keys::mac;
use crate::provider::keys::material::{Cut, Decode, Form};
use crate::provider::template::json::JsonTemplate;
use crate::provider::template::text::TextTemplate;
use crate::provider::template::{Scope, TemplatePlace};

impl Compiler<'_> {
    /// Which secret a key is in, and in what form.
    pub(super) fn key(&mut self, place: &Key, key: &definition::Key) -> Option<(String, Form)> {
        let (secret, form) = match key {
            definition::Key::Whole(secret) => (secret, Form::default()),
            definition::Key::Part(part) => {
                if part.public.is_some() {
                    self.refuse(place, "names a public key, and nothing is signed with one; remove public");
                }
                let form = Form { cut: self.cut(place, part)?, decode: part.decode.into(), min_bytes: part.min_bytes };
                (&part.secret, form)
            }
        };
        self.secret(place, secret).then(|| (secret.clone(), form))
    }

    /// Which part of a secret is meant.
    pub(super) fn cut(&mut self, place: &Key, part: &Part) -> Option<Cut> {
        self.mistakes.note(Cut::of(part).map_err(|mistake| mistake.within(place)))
    }

    /// A MAC, whose key is given a number.
    pub(super) fn mac(&mut self, place: &Key, rule: &definition::Hmac) -> Option<Mac> {
        let (secret, form) = self.key(&place.below("key"), &rule.key)?;
        let text = self.text(&place.below("text"), &rule.text)?;
        let checked = text.check_signed(|input, separator| self.input_allows(input, separator));
        self.mistakes.note(checked)?;
        for index in text.lets() {
            self.signed_let(index)?;
        }
        let encode = match rule.encode {
            MacEncoding::Hex => mac::Encode::Hex,
            MacEncoding::UpperHex => mac::Encode::UpperHex,
            MacEncoding::Base64 => mac::Encode::Base64,
            MacEncoding::Base64url => mac::Encode::Base64Url,
        };
        let hash = match rule.hmac {
            Hash::Sha256 => mac::Hash::Sha256,
            Hash::Sha384 => mac::Hash::Sha384,
            Hash::Sha512 => mac::Hash::Sha512,
            Hash::Sha1 => mac::Hash::Sha1,
        };
        self.needs.macs.push(MacRule { secret, form, hash });
        Some(Mac { key: self.needs.macs.len() - 1, text, encode })
    }

    /// A value of `let` is signed with the text that names it, so it has to be as clear as that.
    fn signed_let(&mut self, index: usize) -> Option<()> {
        let definition = self.definition;
        let Some((name, definition::Let::Value(Value::String(text)))) = definition.lets.get(index) else {
            return Some(());
        };
        let template = self.text(&Key::of("let").below(name), text)?;
        let checked = template.check_signed(|input, separator| self.input_allows(input, separator));
        self.mistakes.note(checked)?;
        template.lets().filter(|before| *before < index).try_for_each(|before| self.signed_let(before))
    }

    /// A JWT beside the token: the number of its signer, and its claims.
    pub(super) fn side_jwt(&mut self, place: &Key, jwt: &definition::SideJwt) -> Option<(usize, JsonTemplate)> {
        let signer = self.signer(place, &jwt.alg, &jwt.key, jwt.kid.as_deref(), &jwt.header)?;
        let claims = self.object(&place.below("claims"), &jwt.claims)?;
        self.needs.signers.push(signer);
        Some((self.needs.signers.len() - 1, claims))
    }

    /// How a JWT is signed.
    pub(super) fn signer(
        &mut self,
        place: &Key,
        alg: &str,
        key: &definition::Key,
        kid: Option<&str>,
        header: &Map<String, Value>,
    ) -> Option<SignerRule> {
        let named = self.constant(&place.below("alg"), alg)??;
        let Some(alg) = Alg::named(&named) else {
            let known: Vec<_> = Alg::VARIANTS.iter().map(|alg| alg.name()).collect();
            self.refuse(place.below("alg"), format!("\"{named}\" is not one of {}", known.join(", ")));
            return None;
        };
        let (secret, form) = self.key(&place.below("key"), key)?;
        let compiled = self.scope.at(TemplatePlace::Credentials, |scope: &mut Scope| {
            let kid = kid.map(|text| TextTemplate::compile(text, &place.below("kid"), scope)).transpose()?;
            Ok::<_, Mistake>((kid, JsonTemplate::compile_object(header, &place.below("header"), scope)?))
        });
        let (kid, header) = self.mistakes.note(compiled)?;
        Some(SignerRule { alg, label: None, secret, form, kid, named: false, header })
    }
}

impl From<Encoding> for Decode {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Text => Self::Text,
            Encoding::Base64 => Self::Base64,
            Encoding::Base64url => Self::Base64Url,
            Encoding::Hex => Self::Hex,
            Encoding::Nkey => Self::Nkey,
            Encoding::Jwk => Self::Jwk,
        }
    }
}
