//! An enum of events as its parts: the name of a variant, which is the event type, and what it holds,
//! which is the payload.
//!
//! Serde gives the variant's name and its content together. Taken apart, the payload does not depend
//! on the order of the variants, reads in JSON as one would write it by hand, and the event type is never
//! written twice. Nothing here knows an encoding: each gives its own serializer to go on with.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::ser::{
    Impossible, Serialize, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleVariant, Serializer,
};
use serde::{de, forward_to_deserialize_any, ser};

const NOT_AN_ENUM: &str = "an event must be a variant of an enum in serde's own representation, without \
                           `tag`, `content` or `untagged`";

/// What a variant holds, to be serialized; its name is known afterwards.
pub(super) struct Content<'a, E> {
    event: &'a E,
    name: Cell<&'static str>,
}

impl<'a, E> Content<'a, E> {
    pub(super) fn of(event: &'a E) -> Self {
        Self { event, name: Cell::new("") }
    }

    /// Returns the name of the variant, once it was serialized.
    pub(super) fn name(&self) -> &'static str {
        self.name.get()
    }
}

impl<E: Serialize> Serialize for Content<'_, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.event.serialize(ContentSerializer { inner: serializer, name: &self.name })
    }
}

struct ContentSerializer<'a, S> {
    inner: S,
    name: &'a Cell<&'static str>,
}

/// Refuses everything that is no variant.
macro_rules! refuse {
    ($($method:ident($($value:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $value),*) -> Result<$ok, Self::Error> {
            Err(ser::Error::custom(NOT_AN_ENUM))
        })*
    };
}

impl<S: Serializer> Serializer for ContentSerializer<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Impossible<S::Ok, S::Error>;
    type SerializeTuple = Impossible<S::Ok, S::Error>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Fields<S::SerializeTuple>;
    type SerializeMap = Impossible<S::Ok, S::Error>;
    type SerializeStruct = Impossible<S::Ok, S::Error>;
    type SerializeStructVariant = Fields<S::SerializeStruct>;

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    /// A variant that holds nothing is a structure without fields, so that fields can come later.
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.name.set(variant);
        self.inner.serialize_struct(variant, 0)?.end()
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.name.set(variant);
        value.serialize(self.inner)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        fields: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.name.set(variant);
        self.inner.serialize_tuple(fields).map(Fields)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        fields: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.name.set(variant);
        self.inner.serialize_struct(variant, fields).map(Fields)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, _: &T) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom(NOT_AN_ENUM))
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom(NOT_AN_ENUM))
    }

    refuse! {
        serialize_bool(bool) -> S::Ok;
        serialize_i8(i8) -> S::Ok;
        serialize_i16(i16) -> S::Ok;
        serialize_i32(i32) -> S::Ok;
        serialize_i64(i64) -> S::Ok;
        serialize_i128(i128) -> S::Ok;
        serialize_u8(u8) -> S::Ok;
        serialize_u16(u16) -> S::Ok;
        serialize_u32(u32) -> S::Ok;
        serialize_u64(u64) -> S::Ok;
        serialize_u128(u128) -> S::Ok;
        serialize_f32(f32) -> S::Ok;
        serialize_f64(f64) -> S::Ok;
        serialize_char(char) -> S::Ok;
        serialize_str(&str) -> S::Ok;
        serialize_bytes(&[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(&'static str) -> S::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }
}

/// The fields of a variant, serialized as those of a tuple or a structure.
struct Fields<S>(S);

impl<S: SerializeTuple> SerializeTupleVariant for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_element(value)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

impl<S: SerializeStruct> SerializeStructVariant for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        self.0.serialize_field(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.0.skip_field(key)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

/// Makes an event of its type and the bytes of what it holds.
pub(super) struct ContentSeed<'a, E> {
    event_type: &'a str,
    event: PhantomData<E>,
}

impl<'a, E> ContentSeed<'a, E> {
    pub(super) fn new(event_type: &'a str) -> Self {
        Self { event_type, event: PhantomData }
    }
}

impl<'de, E: Deserialize<'de>> DeserializeSeed<'de> for ContentSeed<'_, E> {
    type Value = E;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<E, D::Error> {
        E::deserialize(ContentDeserializer { inner: deserializer, event_type: self.event_type })
    }
}

struct ContentDeserializer<'a, D> {
    inner: D,
    event_type: &'a str,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ContentDeserializer<'_, D> {
    type Error = D::Error;

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
        Err(de::Error::custom(NOT_AN_ENUM))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, 'a, D: Deserializer<'de>> EnumAccess<'de> for ContentDeserializer<'a, D> {
    type Error = D::Error;
    type Variant = Held<D>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Held<D>), D::Error> {
        let name: StrDeserializer<'a, D::Error> = self.event_type.into_deserializer();
        Ok((seed.deserialize(name)?, Held(self.inner)))
    }
}

/// What a variant holds, to be deserialized.
struct Held<D>(D);

impl<'de, D: Deserializer<'de>> VariantAccess<'de> for Held<D> {
    type Error = D::Error;

    fn unit_variant(self) -> Result<(), D::Error> {
        self.0.deserialize_struct("", &[], Nothing)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, D::Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        fields: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(fields, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct("", fields, visitor)
    }
}

/// A structure without fields; those of another version of it are passed over where they have names.
struct Nothing;

impl<'de> Visitor<'de> for Nothing {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a structure without fields")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Returns the names of the variants of an enum; none for what is no enum.
pub(super) fn names<'de, E: Deserialize<'de>>() -> &'static [&'static str] {
    match E::deserialize(Asking) {
        Ok(_) => &[],
        Err(Names(names)) => names,
    }
}

/// What the type of an event says by itself, whatever its payload.
pub(super) enum ByName<E> {
    /// A variant has this name.
    Known,
    /// No variant has this name; the variant marked with `#[serde(other)]` takes the event.
    Other(E),
    /// No variant takes the event; these are the names of all of them.
    Unknown(&'static [&'static str]),
}

/// Returns what the type of an event says by itself.
pub(super) fn by_name<'de, E: Deserialize<'de>>(event_type: &str) -> ByName<E> {
    match E::deserialize(NameOnly { event_type, variants: &[] }) {
        Ok(event) => ByName::Other(event),
        Err(Names([])) => ByName::Known,
        Err(Names(names)) => ByName::Unknown(names),
    }
}

/// An event of which only the type is read. The error holds the names of the variants when none takes it.
struct NameOnly<'a> {
    event_type: &'a str,
    variants: &'static [&'static str],
}

impl<'de> Deserializer<'de> for NameOnly<'_> {
    type Error = Names;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Names> {
        match variants.contains(&self.event_type) {
            true => Err(Names(&[])),
            false => visitor.visit_enum(NameOnly { variants, ..self }),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, 'a> EnumAccess<'de> for NameOnly<'a> {
    type Error = Names;
    type Variant = Nameless;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Nameless), Names> {
        let name: StrDeserializer<'a, Names> = self.event_type.into_deserializer();
        let variant = seed.deserialize(name).map_err(|_| Names(self.variants))?;
        Ok((variant, Nameless))
    }
}

/// The variant that takes every name that no other has: serde allows only one that holds nothing.
struct Nameless;

impl<'de> VariantAccess<'de> for Nameless {
    type Error = Names;

    fn unit_variant(self) -> Result<(), Names> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Names> {
        Err(Names(&[]))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }
}

/// Answers the question for a value with the names of the variants it may be.
struct Asking;

#[derive(Debug)]
struct Names(&'static [&'static str]);

impl<'de> Deserializer<'de> for Asking {
    type Error = Names;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Names> {
        Err(Names(variants))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Names> {
        Err(Names(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl std::error::Error for Names {}

impl de::Error for Names {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}
