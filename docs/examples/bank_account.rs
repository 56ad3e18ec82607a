//! A bank account: snapshots, commands that are given twice, a projection, and tenants.
//!
//! Run it with `cargo run --release --example bank_account [DIRECTORY]`. The events are kept on disk,
//! in `annals-data/bank_account` when no directory is given, and the snapshots beside them.

#![forbid(unsafe_code)]

use std::env;
use std::error::Error as StdError;
use std::io::{self, Write};
use std::path::PathBuf;

use annals::{
    ActorId, Aggregate, AggregateId, Codec, Context, DomainEvent, EventStore, FileStore, Handled,
    Projection, ProjectionOptions, ProjectionRunner, Query, ReadOptions, RecordedEvent, Repository,
    SnapshotPolicy, Snapshotted, TenantId, TenantStore,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

type Outcome<T = ()> = Result<T, Box<dyn StdError>>;

/// Works on the accounts in the directory that is given, or in the usual one.
fn main() -> Outcome {
    let usual = || PathBuf::from("annals-data/bank_account");
    let directory = env::args_os().nth(1).map_or_else(usual, PathBuf::from);
    let store = FileStore::open(&directory)?;
    bank(&store, &mut io::stdout().lock())?;
    store.close()?;
    Ok(())
}

// ----------------------------------------------------------------------------- The domain

/// What can happen to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

impl DomainEvent for AccountEvent {
    const AGGREGATE_TYPE: &'static str = "Account";
}

/// Why an account refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Rejection {
    #[error("the account is open already")]
    OpenAlready,
    #[error("the account is not open")]
    NotOpen,
    #[error("there are only {cents} cents")]
    NotEnough { cents: u64 },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    owner: Option<String>,
    cents: u64,
}

impl Aggregate for Account {
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner = Some(owner.clone()),
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

/// The state may be kept in snapshots. Whoever changes its fields or what `apply` does raises the
/// number; the snapshots that are there are then passed over.
impl Snapshotted for Account {
    const SNAPSHOT_VERSION: u32 = 1;
}

impl Account {
    fn open(&self, owner: &str) -> Result<AccountEvent, Rejection> {
        match self.owner {
            Some(_) => Err(Rejection::OpenAlready),
            None => Ok(AccountEvent::Opened { owner: owner.to_owned() }),
        }
    }

    fn deposit(&self, cents: u64) -> Result<AccountEvent, Rejection> {
        match self.owner {
            Some(_) => Ok(AccountEvent::Deposited { cents }),
            None => Err(Rejection::NotOpen),
        }
    }

    fn withdraw(&self, cents: u64) -> Result<AccountEvent, Rejection> {
        match cents <= self.cents {
            true => Ok(AccountEvent::Withdrawn { cents }),
            false => Err(Rejection::NotEnough { cents: self.cents }),
        }
    }
}

// ---------------------------------------------------------------------------- The program

type Accounts<'a> = Repository<Account, &'a FileStore>;

/// Gives the commands of one run and prints what they led to.
pub(crate) fn bank(store: &FileStore, out: &mut dyn Write) -> Outcome {
    writeln!(out, "Events recorded before: {}", store.global_position()?)?;
    with_snapshots(store, out)?;
    given_twice(&Accounts::new(store), out)?;
    all_accounts(store, out)?;
    two_tenants(store, out)
}

/// Makes many deposits, with a snapshot at every hundredth event.
fn with_snapshots(store: &FileStore, out: &mut dyn Write) -> Outcome {
    heading(out, "Snapshots")?;
    let snapshots = store.snapshots();
    let accounts = Accounts::new(store).snapshots(snapshots.clone(), SnapshotPolicy::every(100));
    let ada = AggregateId::new("ada")?;
    if !accounts.exists(&ada)? {
        accounts.execute(&ada, |account| account.open("Ada"))?;
    }
    let mut account = accounts.load_or_create(&ada)?;
    for _ in 0..250 {
        account.execute(|it| it.deposit(10))?;
    }
    accounts.save(&mut account)?;
    writeln!(out, "{} cents at version {}", account.cents, account.version())?;

    // Saving did not wait for the snapshot; this does, and says if it could not be written.
    snapshots.flush()?;
    writeln!(out, "Snapshots in the store's directory: {}", store.stats()?.records)?;
    let with = accounts.load_or_create(&ada)?;
    let without = Accounts::new(store).load_or_create(&ada)?;
    writeln!(out, "The same without it: {}", with.cents == without.cents)?;
    Ok(())
}

/// Gives a command a second time, as somebody does who never got the answer to the first.
fn given_twice(accounts: &Accounts<'_>, out: &mut dyn Write) -> Outcome {
    heading(out, "A command that is given twice")?;
    let request = Uuid::now_v7();
    let ada = AggregateId::new("ada")?;
    let accounts = accounts
        .clone()
        .context(Context::new().actor(ActorId::new("teller:7")?).correlation_id(request));
    for _ in 0..2 {
        let account = accounts.execute_once(request, &ada, |it| it.withdraw(500))?;
        writeln!(out, "{} cents at version {}", account.cents, account.version())?;
    }
    match accounts.execute(&ada, |account| account.withdraw(1_000_000)) {
        Err(rejection) => writeln!(out, "Refused: {rejection}")?,
        Ok(_) => return Err("more was withdrawn than there was".into()),
    }
    Ok(())
}

/// What is in all accounts together, and how often money was moved.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Vault {
    cents: u64,
    moves: u64,
}

/// Keeps the vault up to date, whoever writes to whichever account.
struct Counting(Codec<AccountEvent>);

impl Projection for Counting {
    type State = Vault;
    type Error = annals::Error;

    fn query(&self) -> Query {
        Query::category(AccountEvent::AGGREGATE_TYPE)
    }

    fn handle(&mut self, vault: &mut Vault, event: &RecordedEvent) -> annals::Result<Handled> {
        match self.0.decode(event)? {
            AccountEvent::Opened { .. } => return Ok(Handled::Ignored),
            AccountEvent::Deposited { cents } => vault.cents += cents,
            AccountEvent::Withdrawn { cents } => vault.cents -= cents,
        }
        vault.moves += 1;
        Ok(Handled::Applied)
    }
}

/// Brings the vault up to date: it goes on where the run before has ended.
fn all_accounts(store: &FileStore, out: &mut dyn Write) -> Outcome {
    heading(out, "All accounts together")?;
    let counting = Counting(Codec::bincode());
    let mut runner = ProjectionRunner::open(store, "vault", counting, ProjectionOptions::new())?;
    let progress = runner.catch_up()?;
    let Vault { cents, moves } = runner.view().read(Clone::clone);
    writeln!(out, "{} events were new", progress.applied)?;
    writeln!(out, "{cents} cents after {moves} moves")?;
    Ok(())
}

/// Lets two banks share a store, and neither see the other's accounts.
fn two_tenants(store: &FileStore, out: &mut dyn Write) -> Outcome {
    heading(out, "Two banks, one store")?;
    let (north, south) = (TenantId::new("north")?, TenantId::new("south")?);
    let of = |bank: &TenantId| Accounts::new(store).context(Context::new().tenant(bank.clone()));
    let eve = AggregateId::new("eve")?;
    if !of(&north).exists(&eve)? {
        of(&north).execute(&eve, |account| account.open("Eve"))?;
    }
    writeln!(out, "North knows Eve: {}", of(&north).exists(&eve)?)?;
    writeln!(out, "South knows Eve: {}", of(&south).exists(&eve)?)?;
    if let Err(refusal) = of(&south).execute(&eve, |account| account.open("Another Eve")) {
        writeln!(out, "South is refused: {refusal}")?;
    }
    let seen = TenantStore::new(store, south).read_all(ReadOptions::new())?.count();
    writeln!(out, "Events that South can read: {seen}")?;
    Ok(())
}

fn heading(out: &mut dyn Write, text: &str) -> Outcome {
    writeln!(out, "\n{text}\n{}", "-".repeat(text.len()))?;
    Ok(())
}
