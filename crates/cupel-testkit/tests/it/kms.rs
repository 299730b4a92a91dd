use std::error::Error;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::BehaviorVersion;
use aws_sdk_kms::config::Credentials;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::primitives::Blob;
use cupel_testkit::Kms;
use tokio::net::TcpStream;
use url::Url;

type TestResult = Result<(), Box<dyn Error>>;

const DENY_DECRYPT: &str = r#"{
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": "*", "Action": "kms:Decr*", "Resource": "*"}
    ]
}"#;

async fn client() -> Result<Client, cupel_testkit::Error> {
    let kms = Kms::shared().await?;
    let (id, secret) = (kms.access_key_id(), kms.secret_access_key());
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(kms.region().to_owned()))
        .endpoint_url(kms.endpoint())
        .credentials_provider(Credentials::new(id, secret, None, None, "testkit"))
        .build();
    Ok(Client::from_conf(config))
}

/// Makes a key; returns its ARN and what it encrypted.
async fn key_and_blob(client: &Client) -> Result<(String, Blob), Box<dyn Error>> {
    let made = client.create_key().send().await?;
    let arn = made.key_metadata.and_then(|key| key.arn).ok_or("a key has an ARN")?;
    let sealed = client.encrypt().key_id(&arn).plaintext(Blob::new("secret")).send().await?;
    Ok((arn, sealed.ciphertext_blob.ok_or("a ciphertext")?))
}

/// Decrypts under a key; returns the code of the refusal.
async fn refusal(client: &Client, arn: &str, blob: &Blob) -> Result<String, Box<dyn Error>> {
    let answer = client.decrypt().key_id(arn).ciphertext_blob(blob.clone()).send().await;
    let refused = answer.err().ok_or("it decrypts")?;
    let code = refused.as_service_error().and_then(ProvideErrorMetadata::code);
    Ok(code.ok_or_else(|| format!("no code: {refused:?}"))?.to_owned())
}

#[tokio::test]
async fn starts_and_stops() -> TestResult {
    let kms = Kms::start().await?;
    println!("{}", kms.source());
    let address = Url::parse(kms.endpoint())?.socket_addrs(|| None)?;
    TcpStream::connect(address.as_slice()).await?;
    kms.stop().await?;
    assert!(TcpStream::connect(address.as_slice()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_key_opens_what_it_sealed_and_nothing_else() -> TestResult {
    let client = client().await?;
    let (ours, blob) = key_and_blob(&client).await?;
    let (theirs, _) = key_and_blob(&client).await?;
    let opened = client.decrypt().key_id(&ours).ciphertext_blob(blob.clone()).send().await?;
    assert_eq!(opened.plaintext, Some(Blob::new("secret")));
    assert_eq!(refusal(&client, &theirs, &blob).await?, "IncorrectKeyException");
    Ok(())
}

#[tokio::test]
async fn a_key_works_only_while_it_is_enabled() -> TestResult {
    let client = client().await?;
    let (arn, blob) = key_and_blob(&client).await?;
    client.disable_key().key_id(&arn).send().await?;
    assert_eq!(refusal(&client, &arn, &blob).await?, "DisabledException");
    client.enable_key().key_id(&arn).send().await?;
    client.decrypt().key_id(&arn).ciphertext_blob(blob.clone()).send().await?;
    client.schedule_key_deletion().key_id(&arn).pending_window_in_days(7).send().await?;
    assert_eq!(refusal(&client, &arn, &blob).await?, "KMSInvalidStateException");
    let made = client.generate_data_key().key_id(&arn).number_of_bytes(32).send().await;
    let state = |err: &SdkError<_, _>| {
        err.as_service_error().is_some_and(
            aws_sdk_kms::operation::generate_data_key::GenerateDataKeyError::is_kms_invalid_state_exception,
        )
    };
    assert!(made.as_ref().is_err_and(state), "{made:?}");
    Ok(())
}

#[tokio::test]
async fn a_deny_statement_denies_what_it_names() -> TestResult {
    let client = client().await?;
    let (arn, blob) = key_and_blob(&client).await?;
    client.put_key_policy().key_id(&arn).policy(DENY_DECRYPT).send().await?;
    assert_eq!(refusal(&client, &arn, &blob).await?, "AccessDeniedException");
    client.encrypt().key_id(&arn).plaintext(Blob::new("more")).send().await?;
    Ok(())
}
