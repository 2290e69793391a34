//! A database per test, copied from a template that is migrated once per set of migrations.

use chassis::Schema;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;
use uuid::Uuid;

/// A database that exists until it is dropped.
pub struct Database {
    /// Connection URL.
    pub url: String,
    admin: String,
    name: String,
}

/// A fresh database with the schemas migrated. Needs `TEST_DATABASE_URL`: a server where databases and roles may be created.
///
/// # Panics
/// When the server is not there: a test without its database would show nothing.
pub async fn database(schemas: &[Schema]) -> Database {
    let admin = std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL is set: run tests with `make test` or `scripts/with-services`");
    let template = template(&admin, schemas).await;
    let name = format!("t_{}", Uuid::now_v7().simple());
    let mut connection = connect(&admin).await;
    connection
        .execute(AssertSqlSafe(format!(
            "CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
        )))
        .await
        .expect("the database is created");
    Database {
        url: with_database(&admin, &name),
        admin,
        name,
    }
}

impl Database {
    /// A database that is somebody else's, on a server of its own perhaps: it stays when this is dropped.
    pub fn lent(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            admin: String::new(),
            name: String::new(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        let (admin, name) = (std::mem::take(&mut self.admin), std::mem::take(&mut self.name));
        // A thread of its own: the test's runtime may be gone already. Best effort, the server is thrown away after the run.
        let _ = std::thread::spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
                runtime.block_on(async {
                    if let Ok(mut connection) = PgConnection::connect(&admin).await {
                        let _ = connection
                            .execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
                            .await;
                    }
                });
            }
        })
        .join();
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .expect("the test database server answers")
}

fn with_database(admin: &str, name: &str) -> String {
    let mut url = Url::parse(admin).expect("TEST_DATABASE_URL is a URL");
    url.set_path(name);
    url.to_string()
}

/// Name of the template for these migrations; made by whoever comes first.
async fn template(admin: &str, schemas: &[Schema]) -> String {
    let mut hash = digest(&[]);
    for schema in schemas {
        hash = digest(&[&hash, schema.name.as_bytes()]);
        for migration in chassis::store::common_migrations()
            .iter()
            .chain(schema.migrations.iter())
        {
            hash = digest(&[&hash, &migration.checksum]);
        }
    }
    let name = format!("tpl_{}", hex::encode(&hash[..12]));
    let mut connection = connect(admin).await;
    connection
        .execute(AssertSqlSafe(format!(
            "SELECT pg_advisory_lock(hashtextextended('{name}', 0))"
        )))
        .await
        .expect("the template is locked");
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("databases are listed");
    if !exists {
        let building = format!("{name}_building");
        connection
            .execute(AssertSqlSafe(format!(
                "DROP DATABASE IF EXISTS {building} WITH (FORCE)"
            )))
            .await
            .expect("leftovers are removed");
        connection
            .execute(AssertSqlSafe(format!("CREATE DATABASE {building}")))
            .await
            .expect("the template is created");
        chassis::store::migrate(&with_database(admin, &building), schemas)
            .await
            .expect("migrations apply");
        connection
            .execute(AssertSqlSafe(format!("ALTER DATABASE {building} RENAME TO {name}")))
            .await
            .expect("the template is published");
    }
    connection.close().await.expect("the lock is released");
    name
}

fn digest(parts: &[&[u8]]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}
