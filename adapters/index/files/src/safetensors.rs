//! `.safetensors`: the length of a header, the header, which is JSON, and the tensors it names.

use crate::input::{Input, Stored};
use crate::{FileError, Found};
use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};

pub(crate) fn read(input: &Input, name: Option<&str>) -> Result<Found, FileError> {
    let length = u64::from_le_bytes(input.array("the length of the header", 0)?);
    input.holds("the header", 8, length.into())?;
    let metadata: Metadata = serde_json::from_slice(&input.bytes("the header", 8, length)?)
        .map_err(|error| input.damaged(8, format!("the header: {error}")))?;
    let begin = 8 + length;
    input.holds("the tensors", begin, metadata.data_len() as u128)?;
    input.ends(begin + metadata.data_len() as u64)?;
    let tensors = metadata.tensors();
    let tables: Vec<&String> = tensors.iter().filter(|(_, t)| t.shape.len() == 2).map(|(n, _)| n).collect();
    let choose = |why: String| {
        let mut names: Vec<String> = tensors.keys().cloned().collect();
        names.sort_unstable();
        FileError::Choose { path: input.path().to_owned(), why, option: "--tensor", names }
    };
    let name = match (name, tables.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => only.as_str(),
        (None, []) if tensors.len() == 1 => tensors.keys().next().map_or("", String::as_str),
        (None, tables) => return Err(choose(format!("{} tensors of two dimensions", tables.len()))),
    };
    let tensor = tensors.get(name).ok_or_else(|| choose(format!("there is no tensor `{name}`")))?;
    table(input, name, tensor, begin)
}

fn table(input: &Input, name: &str, tensor: &TensorInfo, begin: u64) -> Result<Found, FileError> {
    let stored = match tensor.dtype {
        Dtype::F16 => Stored::F16,
        Dtype::BF16 => Stored::Bf16,
        Dtype::F32 => Stored::F32,
        Dtype::F64 => Stored::F64,
        other => {
            let found = format!("values of type {other:?} in tensor `{name}`");
            return Err(input.unsuitable(found, "save it as F32: tensor.float()"));
        }
    };
    let &[rows, dim] = tensor.shape.as_slice() else {
        let found = format!("a tensor `{name}` of shape {:?}", tensor.shape);
        return Err(input.unsuitable(found, "vectors are the rows of two dimensions"));
    };
    if rows == 0 {
        return Err(FileError::NoRows { path: input.path().to_owned() });
    }
    if dim == 0 {
        return Err(input.unsuitable("vectors of 0 values", "save rows that have values"));
    }
    let at = begin + tensor.data_offsets.0 as u64;
    Ok(Found { dim, rows: input.rows(at, stored, rows as u64, dim)?, ids: None })
}
