//! Bounded reading of little-endian values from a prefix of a file.

/// GGUF's type number of a string.
pub(super) const STRING: u32 = 8;
/// GGUF's type number of an array.
pub(super) const ARRAY: u32 = 9;

/// The bytes given end before the value does.
#[derive(Debug)]
pub(super) struct Short;

/// A single value that is no string.
#[derive(Clone, Copy)]
pub(super) enum Scalar {
    Unsigned(u64),
    Signed(i64),
    /// 32 and 64 bits.
    Single,
    Double,
}

impl Scalar {
    pub(super) fn unsigned(self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(number),
            Self::Signed(number) => u64::try_from(number).ok(),
            Self::Single | Self::Double => None,
        }
    }
}

/// Bytes of a scalar type; `None` where the number names none.
pub(super) fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position as u64
    }

    pub(super) fn peek(&self, most: usize) -> &'a [u8] {
        let rest = &self.bytes[self.position..];
        &rest[..rest.len().min(most)]
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Short> {
        let length = usize::try_from(length).map_err(|_| Short)?;
        let end = self.position.checked_add(length).ok_or(Short)?;
        let taken = self.bytes.get(self.position..end).ok_or(Short)?;
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N as u64)?.try_into().map_err(|_| Short)
    }

    pub(super) fn skip(&mut self, length: u64) -> Result<(), Short> {
        self.take(length).map(drop)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Short> {
        let length = self.u64()?;
        self.take(length)
    }

    /// A value of a scalar type; `Ok(None)` where the number names none.
    pub(super) fn scalar(&mut self, kind: u32) -> Result<Option<Scalar>, Short> {
        let value = match kind {
            0 | 7 => Scalar::Unsigned(u64::from(u8::from_le_bytes(self.array()?))),
            1 => Scalar::Signed(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Scalar::Unsigned(u64::from(u16::from_le_bytes(self.array()?))),
            3 => Scalar::Signed(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Scalar::Unsigned(u64::from(self.u32()?)),
            5 => Scalar::Signed(i64::from(i32::from_le_bytes(self.array()?))),
            10 => Scalar::Unsigned(self.u64()?),
            11 => Scalar::Signed(i64::from_le_bytes(self.array()?)),
            6 => {
                self.skip(4)?;
                Scalar::Single
            }
            12 => {
                self.skip(8)?;
                Scalar::Double
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }
}
