//! Encrypted connections.

use std::error::Error;
use std::fmt::Write;
use std::net::TcpListener;
use std::time::Duration;

use postroom::orchestration::store::postgres::{PostgresOptions, PostgresStore};
use postroom::orchestration::store::{Store, StoreError};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::time::timeout;
use uuid::Uuid;

use super::cluster::{self, Cluster, FORGETFUL};
use super::kit::{assert_sound, claim, submit, succeed, task};

/// A server on TCP whose certificate says `localhost`, and the certificate of who signed it.
struct Encrypted {
    cluster: Cluster,
    port: u16,
}

/// Who signs certificates.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of that name, and its key.
fn signed_by(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new([name.to_owned()]).unwrap();
    certificate.distinguished_name = DistinguishedName::new();
    certificate
        .distinguished_name
        .push(DnType::CommonName, name);
    let certificate = certificate.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

impl Encrypted {
    fn start() -> Self {
        // The port is free now and, as a rule, still when the server starts.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let settings = format!("{FORGETFUL}listen_addresses = '127.0.0.1'\nport = {port}\n");
        let cluster = Cluster::start_with(&settings);

        let root = authority();
        let (certificate, key) = signed_by(&root, "localhost");
        let certificate = cluster.put("server.crt", &certificate);
        let key = cluster.put("server.key", &key);
        let (client, client_key) = signed_by(&root, "postgres");
        cluster.put("client.crt", &client);
        cluster.put("client.key", &client_key);
        cluster.put("stranger.crt", &authority().pem());
        let root = cluster.put("root.crt", &root.pem());
        // Into the database `secure` only with a certificate.
        let admitted = "local all all trust\n\
                        hostssl secure all 127.0.0.1/32 cert\n\
                        host secure all 127.0.0.1/32 reject\n\
                        host all all 127.0.0.1/32 trust\n";
        let admitted = cluster.put("hba.conf", admitted);
        cluster.configure(&format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\nhba_file = '{}'\n",
            certificate.display(),
            key.display(),
            root.display(),
            admitted.display(),
        ));
        cluster.down();
        cluster.up();
        Self { cluster, port }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!(
            "postgres://postgres@{host}:{}/postgres?{parameters}",
            self.port
        )
    }

    /// Where nothing is encrypted.
    fn beside(&self) -> String {
        cluster::url(self.cluster.folder(), self.port, "postgres")
    }

    /// The parameter that names a file.
    fn naming(&self, parameter: &str, file: &str) -> String {
        format!("{parameter}={}", self.cluster.folder().join(file).display())
    }
}

async fn open(url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(url, PostgresOptions::default()).await
}

/// An error with its sources.
fn said(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        write!(said, ": {error}").unwrap();
        source = error.source();
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_servers_checked() {
    let server = tokio::task::spawn_blocking(Encrypted::start).await.unwrap();
    let trusting = server.naming("sslrootcert", "root.crt");
    let mistaken = server.naming("sslrootcert", "stranger.crt");

    // Whoever asks for nothing is encrypted: all connections, also that of the listener.
    for url in [
        server.url("localhost", ""),
        server.url("localhost", "sslmode=require"),
        server.url("localhost", &format!("sslmode=verify-full&{trusting}")),
        server.url("127.0.0.1", &format!("sslmode=verify-ca&{trusting}")),
        server.url("127.0.0.1", &format!("sslmode=require&{trusting}")),
    ] {
        let store = open(&url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {}", said(&error)));
        let mut hints = store.hints().unwrap();
        let process = Uuid::new_v4();
        submit(&store, task(&[&[]])).await;
        let step = claim(&store, process, 1).await.remove(0);
        succeed(&store, &step, process).await;
        let mut by_hand = PgConnection::connect(&server.beside()).await.unwrap();
        // Once it listens it is told.
        let told = async {
            while timeout(Duration::from_millis(200), hints.next())
                .await
                .is_err()
            {
                by_hand.execute("NOTIFY postroom").await.unwrap();
            }
        };
        timeout(Duration::from_mins(1), told).await.expect("a hint");
        let counted = by_hand
            .fetch_one(
                "SELECT count(*) FILTER (WHERE s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                 WHERE a.application_name = 'postroom'",
            )
            .await
            .unwrap();
        let (encrypted, all): (i64, i64) = (counted.get(0), counted.get(1));
        assert!(
            encrypted >= 2 && encrypted == all,
            "{url}: {encrypted} of {all}"
        );
        assert_sound(&store).await;
        store.close().await;
    }

    // Whoever wants to know the server does not speak to one that cannot prove who it is.
    for (url, word) in [
        (
            server.url("localhost", &format!("sslmode=verify-full&{mistaken}")),
            "invalid peer certificate",
        ),
        (
            server.url("localhost", &format!("sslmode=require&{mistaken}")),
            "invalid peer certificate",
        ),
        (
            server.url("127.0.0.1", &format!("sslmode=verify-full&{trusting}")),
            "127.0.0.1",
        ),
    ] {
        let error = open(&url).await.unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }), "{url}: {error:?}");
        assert!(said(&error).contains(word), "{url}: {}", said(&error));
    }

    // And the server can ask who comes.
    let mut by_hand = PgConnection::connect(&server.beside()).await.unwrap();
    by_hand.execute("CREATE DATABASE secure").await.unwrap();
    let secure = server
        .url("localhost", &format!("sslmode=verify-full&{trusting}"))
        .replace("/postgres?", "/secure?");
    let refused = open(&secure).await.unwrap_err();
    assert!(said(&refused).contains("certificate"), "{}", said(&refused));
    let (certificate, key) = (
        server.naming("sslcert", "client.crt"),
        server.naming("sslkey", "client.key"),
    );
    let store = open(&format!("{secure}&{certificate}&{key}"))
        .await
        .unwrap();
    submit(&store, task(&[&[]])).await;
    store.close().await;
}
