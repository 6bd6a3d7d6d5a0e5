//! Waits until a row that a user wrote to each of these Milvus servers is read back: what gameday itself waits for at a
//! launch, asked of a stack that somebody else brought up. `compare` calls it.
//!
//!     first_row http://127.0.0.1:19530 http://127.0.0.1:19531

use std::time::{Duration, Instant};

use adapters::milvus::{Client, IndexKind, MilvusError, Row};
use futures::future::try_join_all;
use tokio::time::{sleep, timeout};

const COLLECTION: &str = "gameday_ready";
const DIM: usize = 8;
/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), String> {
    try_join_all(std::env::args().skip(1).map(first_row)).await.map(drop)
}

async fn first_row(endpoint: String) -> Result<(), String> {
    let client = Client::new(&endpoint, COLLECTION).map_err(|e| format!("{endpoint}: {e}"))?;
    let began = Instant::now();
    loop {
        let why = match timeout(ATTEMPT, write_and_read(&client)).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => "a row written was not read back".to_owned(),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("silent for {ATTEMPT:?}"),
        };
        if began.elapsed() > LIMIT {
            return Err(format!("{endpoint}: {why}, and so for {LIMIT:?}"));
        }
        sleep(ASK_EVERY).await;
    }
}

async fn write_and_read(client: &Client) -> Result<bool, MilvusError> {
    if !client.exists().await? {
        client.create(DIM).await?;
    }
    client.build_index(IndexKind::Hnsw, ATTEMPT).await?;
    client.load().await?;
    client.loaded(ATTEMPT).await?;
    let row = Row { key: 0, ver: 1, vector: vec![1.0; DIM] };
    client.upsert(std::slice::from_ref(&row)).await?;
    Ok(client.get(0).await? == Some(row))
}
