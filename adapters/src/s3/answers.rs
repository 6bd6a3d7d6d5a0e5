//! What a server's answers say: headers, error documents, listings. Nothing in them is believed before it fits.

use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap};
use rusty_s3::actions::ListObjectsV2;

use super::{Listed, Page, S3Error};

pub(super) fn etag(op: &'static str, headers: &HeaderMap) -> Result<String, S3Error> {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.is_empty());
    tag.map(str::to_owned)
        .ok_or_else(|| S3Error::Protocol { op, why: "success without an entity tag".to_owned() })
}

pub(super) fn length(op: &'static str, headers: &HeaderMap) -> Result<u64, S3Error> {
    let length = headers.get(CONTENT_LENGTH).and_then(|l| l.to_str().ok()).and_then(|l| l.parse().ok());
    length.ok_or_else(|| S3Error::Protocol { op, why: "an object without a length".to_owned() })
}

/// The `<Code>` of an S3 error document.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, document) = text.split_once("<Error>")?;
    let (_, rest) = document.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plausible = !code.is_empty() && code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    plausible.then(|| code.to_owned())
}

/// Codes by which a server says that a bucket has no such setting, or that it knows none.
pub(super) fn lacks(code: &str) -> bool {
    code == "NotImplemented"
        || code == "MethodNotAllowed"
        || code.starts_with("NoSuch") && code != "NoSuchBucket"
        || code.ends_with("NotFoundError")
}

/// The names in a list of buckets; nothing if it is none.
pub(super) fn bucket_names(body: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, list) = text.split_once("<ListAllMyBucketsResult")?;
    let name = |bucket: &str| {
        let (_, rest) = bucket.split_once("<Name>")?;
        let (name, _) = rest.split_once("</Name>")?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        (!name.is_empty() && name.len() <= 255 && name.bytes().all(fits)).then(|| name.to_owned())
    };
    list.split("<Bucket>").skip(1).map(name).collect()
}

/// Reads a page and holds it to what was asked, so that walking the pages always ends.
pub(super) fn page(
    op: &'static str,
    body: &[u8],
    prefix: &str,
    after: Option<&str>,
) -> Result<Page, S3Error> {
    let wrong = |why: String| S3Error::Protocol { op, why };
    let text = std::str::from_utf8(body).map_err(|e| wrong(e.to_string()))?;
    let parsed = ListObjectsV2::parse_response(text).map_err(|e| wrong(e.to_string()))?;
    let mut objects: Vec<Listed> = Vec::with_capacity(parsed.contents.len());
    for content in parsed.contents {
        let last = objects.last().map(|o| o.key.as_str()).or(after);
        if !content.key.starts_with(prefix) || last.is_some_and(|last| content.key.as_str() <= last) {
            return Err(wrong(format!("key {:?} is out of place in a listing", content.key)));
        }
        let size = content.size.ok_or_else(|| wrong(format!("key {:?} has no size", content.key)))?;
        objects.push(Listed { key: content.key, size, modified: content.last_modified.unwrap_or_default() });
    }
    let more = parsed.next_continuation_token.is_some();
    if more && objects.is_empty() {
        return Err(wrong("a page without objects that is not the last".to_owned()));
    }
    Ok(Page { objects, more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_an_s3_error_document_has_a_code() {
        let xml = b"<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>x</Message></Error>";
        assert_eq!(error_code(xml).as_deref(), Some("NoSuchKey"));
        assert_eq!(error_code(b"<html>404</html>"), None);
        assert_eq!(error_code(b"<Error><Code></Code></Error>"), None);
        assert_eq!(error_code(b"<Error><Code><b>NoSuchKey</b></Code></Error>"), None);
    }

    fn listing(keys: &[&str]) -> String {
        let contents: String =
            keys.iter().map(|k| format!("<Contents><Key>{k}</Key><Size>1</Size></Contents>")).collect();
        format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        )
    }

    #[test]
    fn buckets_are_told_by_their_names_or_not_at_all() {
        let list = |inside: &str| {
            format!("<?xml version=\"1.0\"?><ListAllMyBucketsResult><Buckets>{inside}</Buckets>")
        };
        let names = |inside: &str| bucket_names(list(inside).as_bytes());
        let two =
            "<Bucket><Name>a-b</Name></Bucket><Bucket><CreationDate>x</CreationDate><Name>c</Name></Bucket>";
        assert_eq!(names(two), Some(vec!["a-b".into(), "c".into()]));
        assert_eq!(names(""), Some(Vec::new()));
        assert_eq!(names("<Bucket></Bucket>"), None);
        assert_eq!(names("<Bucket><Name>&lt;</Name></Bucket>"), None);
        assert_eq!(bucket_names(b"<html>"), None);
    }

    #[test]
    fn a_listing_that_goes_backwards_is_refused() {
        assert_eq!(page("list", listing(&["a", "b"]).as_bytes(), "", None).unwrap().objects.len(), 2);
        for (keys, prefix, after) in
            [(vec!["b", "a"], "", None), (vec!["a"], "b", None), (vec!["a"], "", Some("a"))]
        {
            let read = page("list", listing(&keys).as_bytes(), prefix, after);
            assert!(matches!(read, Err(S3Error::Protocol { .. })), "{keys:?}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_listings_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = page("list", &noise, "", None);
            let _ = error_code(&noise);
            let _ = bucket_names(&noise);
        }

        #[test]
        fn damaged_listings_never_panic(at in 0usize..250, byte in any::<u8>(), cut in 0usize..250) {
            let mut body = listing(&["a", "b%2Bc", "c+d"]).into_bytes();
            let place = at % body.len();
            body[place] = byte;
            body.truncate(body.len() - cut % body.len());
            let _ = page("list", &body, "", None);
        }
    }
}
