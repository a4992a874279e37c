//! Writes and reads the lines of the file with one line in memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{BackupError, FORMAT, Head, LINE_BYTES_MAX, REVISION_MAX, Summary};

/// Both databases have these three column types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    Text,
    Integer,
    Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) table: String,
    pub(super) columns: Vec<(String, Kind)>,
}

/// The fields of the head that every version has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionHead {
    portcullis_backup: u32,
    program: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    #[serde(rename = "end")]
    rows: BTreeMap<String, u64>,
    sealed: u64,
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

pub(super) struct Writer<W: Write> {
    out: GzEncoder<W>,
    hash: Sha256,
    rows: BTreeMap<String, u64>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        let out = GzEncoder::new(out, Compression::default());
        Self { out, hash: Sha256::new(), rows: BTreeMap::new() }
    }

    pub(super) fn line(&mut self, line: &impl Serialize) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        if text.len() >= LINE_BYTES_MAX {
            return Err(BackupError::Rows(format!("a row has {} bytes", text.len())));
        }
        text.push(b'\n');
        self.hash.update(&text);
        self.out.write_all(&text)?;
        Ok(())
    }

    pub(super) fn row(&mut self, table: &str, cells: &[Cell]) -> Result<(), BackupError> {
        match self.rows.get_mut(table) {
            Some(count) => *count += 1,
            None => drop(self.rows.insert(table.to_owned(), 1)),
        }
        self.line(&cells.iter().map(Cell::to_json).collect::<Vec<_>>())
    }

    pub(super) fn finish(mut self, head: Head, sealed: u64) -> Result<(Summary, W), BackupError> {
        let sha256 = hex::encode(self.hash.clone().finalize());
        let (rows, sum) = (self.rows.clone(), sha256.clone());
        self.line(&End { rows: self.rows.clone(), sealed, sha256 })?;
        Ok((Summary { head, rows, sealed, sha256: sum }, self.out.finish()?))
    }
}

impl Cell {
    /// Approximate size in bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Integer(_) => 8,
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, Vec::len),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_deref().into(),
            Self::Integer(number) => (*number).into(),
            Self::Bytes(bytes) => bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).into(),
        }
    }

    fn from_json(kind: Kind, value: Value) -> Option<Self> {
        Some(match (kind, value) {
            (Kind::Text, Value::Null) => Self::Text(None),
            (Kind::Integer, Value::Null) => Self::Integer(None),
            (Kind::Bytes, Value::Null) => Self::Bytes(None),
            (Kind::Text, Value::String(text)) => Self::Text(Some(text)),
            (Kind::Integer, Value::Number(number)) => Self::Integer(Some(number.as_i64()?)),
            (Kind::Bytes, Value::String(text)) => Self::Bytes(Some(STANDARD.decode(text).ok()?)),
            _ => return None,
        })
    }
}

pub(super) enum Line {
    Table(Table),
    Row(Vec<Cell>),
    /// Verified.
    End(Summary),
}

pub(super) struct Reader<R: Read> {
    lines: BufReader<MultiGzDecoder<R>>,
    hash: Sha256,
    rows: BTreeMap<String, u64>,
    head: Head,
    table: Option<Table>,
}

impl<R: Read> Reader<R> {
    pub(super) fn open(file: R) -> Result<Self, BackupError> {
        let mut lines = BufReader::with_capacity(256 * 1024, MultiGzDecoder::new(file));
        let line = match line(&mut lines) {
            Err(BackupError::Damaged(why)) => return Err(BackupError::Foreign(why)),
            Err(BackupError::Truncated) => {
                return Err(BackupError::Foreign("the first line is incomplete".to_owned()));
            }
            line => line?.ok_or_else(|| BackupError::Foreign("the file is empty".to_owned()))?,
        };
        let foreign = |error: serde_json::Error| BackupError::Foreign(format!("first line: {error}"));
        let VersionHead { portcullis_backup: format, program } =
            serde_json::from_slice(&line).map_err(foreign)?;
        if format != FORMAT {
            let why = format!("format {format}, this version reads {FORMAT}");
            return Err(BackupError::Newer { program, why });
        }
        let head: Head = serde_json::from_slice(&line).map_err(foreign)?;
        if head.revision > REVISION_MAX {
            let why = format!("revision {} is above {REVISION_MAX}", head.revision);
            return Err(BackupError::Damaged(why));
        }
        let hash = Sha256::new().chain_update(&line);
        Ok(Self { lines, hash, rows: BTreeMap::new(), head, table: None })
    }

    pub(super) fn next(&mut self) -> Result<Line, BackupError> {
        let line = line(&mut self.lines)?.ok_or(BackupError::Truncated)?;
        if line.first() == Some(&b'[') {
            self.hash.update(&line);
            return self.row(&line).map(Line::Row);
        }
        if let Ok(end) = serde_json::from_slice::<End>(&line) {
            return self.end(end).map(Line::End);
        }
        self.hash.update(&line);
        let table: Table = serde_json::from_slice(&line)
            .map_err(|error| BackupError::Damaged(format!("unknown line: {error}")))?;
        if !super::TABLES.contains(&table.table.as_str()) {
            return Err(BackupError::Damaged(format!("unknown table `{}`", table.table.escape_debug())));
        }
        let named = |(name, _): &(String, Kind)| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if table.columns.is_empty() || table.columns.len() > 100 || !table.columns.iter().all(named) {
            return Err(BackupError::Damaged(format!("invalid columns of `{}`", table.table)));
        }
        self.table = Some(table.clone());
        Ok(Line::Table(table))
    }

    fn row(&mut self, line: &[u8]) -> Result<Vec<Cell>, BackupError> {
        let Some(table) = &self.table else {
            return Err(BackupError::Damaged("a row before the first table".to_owned()));
        };
        let wrong = || BackupError::Damaged(format!("a row of `{}` does not match its columns", table.table));
        let values: Vec<Value> = serde_json::from_slice(line).map_err(|_| wrong())?;
        if values.len() != table.columns.len() {
            return Err(wrong());
        }
        let cells = table.columns.iter().zip(values);
        let cells: Option<Vec<Cell>> =
            cells.map(|((_, kind), value)| Cell::from_json(*kind, value)).collect();
        let cells = cells.ok_or_else(wrong)?;
        *self.rows.entry(table.table.clone()).or_default() += 1;
        Ok(cells)
    }

    fn end(&mut self, end: End) -> Result<Summary, BackupError> {
        let sha256 = hex::encode(self.hash.clone().finalize());
        if end.sha256 != sha256 || end.rows != self.rows {
            return Err(BackupError::Damaged("the checksum does not match".to_owned()));
        }
        if line(&mut self.lines)?.is_some() {
            return Err(BackupError::Damaged("data after the end".to_owned()));
        }
        let rows = std::mem::take(&mut self.rows);
        Ok(Summary { head: self.head.clone(), rows, sealed: end.sealed, sha256 })
    }
}

/// With its line feed; `None` at the end of the file.
fn line(lines: &mut impl BufRead) -> Result<Option<Vec<u8>>, BackupError> {
    let mut line = Vec::new();
    let read = lines.take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
    match read {
        Ok(0) => Ok(None),
        Ok(_) if line.last() == Some(&b'\n') => Ok(Some(line)),
        Ok(_) if line.len() > LINE_BYTES_MAX => {
            Err(BackupError::Damaged(format!("a line has more than {LINE_BYTES_MAX} bytes")))
        }
        Ok(_) => Err(BackupError::Truncated),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(BackupError::Truncated),
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) =>
        {
            Err(BackupError::Damaged(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads and verifies a whole file.
pub fn check(file: impl Read) -> Result<Summary, BackupError> {
    let mut reader = Reader::open(file)?;
    loop {
        if let Line::End(summary) = reader.next()? {
            return Ok(summary);
        }
    }
}

#[cfg(test)]
mod tests;
