use trestle_telemetry::LogFormat;

use super::*;

const WHOLE: &str = r#"
host = "host-a"
data_dir = "/srv/agent"
stop_timeout = "5s"
[listen]
socket = "unix:/tmp/agent.sock"
tcp = "[::]:7444"
tls = { ca = "ca.pem", cert = "cert.pem", key = "key.pem" }
[engine]
endpoint = "https://engine.example.org:7443"
tls = { ca = "ca.pem", cert = "cert.pem", key = "key.pem" }
report_period = "10m"
[libvirt]
uri = "none"
[hooks]
folder = "/srv/hooks"
timeout = "3s"
[keeper]
repair = ["routing", "addresses"]
period = "2m"
[telemetry]
otlp_endpoint = "http://127.0.0.1:4317"
log_format = "json"
"#;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_whole_file_is_read() {
    let config = Config::parse(WHOLE, []).unwrap();
    assert_eq!(config.host.as_str(), "host-a");
    assert_eq!(config.stop_timeout.0, Duration::from_secs(5));
    assert_eq!(config.libvirt.uri, LibvirtUri::None);
    assert_eq!(config.hooks, Hooks { folder: PathBuf::from("/srv/hooks"), timeout: Period(Duration::from_secs(3)) });
    assert_eq!(config.keeper.repair, [DriftKind::Addresses, DriftKind::Routing].into());
    assert_eq!(config.keeper.period.0, Duration::from_secs(120));
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    assert_eq!(config.engine.unwrap().report_period.0, Duration::from_secs(600));
}

#[test]
fn a_name_alone_is_enough() {
    let config = Config::parse("host = \"a\"", []).unwrap();
    assert_eq!(config.listen.socket.to_string(), "unix:/run/trestle/host-agent.sock");
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/trestle/host-agent"));
    assert_eq!(config.libvirt.uri, LibvirtUri::At("qemu:///system".to_owned()));
    assert_eq!(config.engine, None);
    assert_eq!(config.keeper.repair, DriftKind::ALL.into());
}

#[test]
fn the_environment_overrides_the_file() {
    let over = variables(&[
        ("TRESTLE_HOST_AGENT_HOST", "host-b"),
        ("TRESTLE_HOST_AGENT_ENGINE__REPORT_PERIOD", "5s"),
        ("TRESTLE_HOST_AGENT_LIBVIRT__CALL_TIMEOUT", "3s"),
        ("TRESTLE_HOST_AGENT_KEEPER__REPAIR", "devices"),
        ("HOME", "/root"),
    ]);
    let config = Config::parse(WHOLE, over).unwrap();
    assert_eq!(config.host.as_str(), "host-b");
    assert_eq!(config.engine.unwrap().report_period.0, Duration::from_secs(5));
    assert_eq!(config.libvirt.call_timeout.0, Duration::from_secs(3));
    assert_eq!(config.keeper.repair, [DriftKind::Devices].into());
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    for text in [
        "host = \"a\"\nhots = 1",
        "host = \"a\"\n[libvirt]\nurl = \"x\"",
        "host = \"a\"\n[engin]\n",
        "host = \"a\"\n[keeper]\nrepair = [\"all\"]",
    ] {
        assert!(matches!(Config::parse(text, []), Err(ConfigError::Unreadable(SettingsError::Malformed(_)))), "{text}");
    }
    let over = variables(&[("TRESTLE_HOST_AGENT_HOTS", "x")]);
    assert!(matches!(Config::parse("host = \"a\"", over), Err(ConfigError::Unreadable(SettingsError::Malformed(_)))));
    let over = variables(&[("TRESTLE_HOST_AGENT_HOST__NAME", "x")]);
    assert!(matches!(Config::parse("host = \"a\"", over), Err(ConfigError::Unreadable(SettingsError::Variable(..)))));
}

#[test]
fn what_does_not_fit_together_is_told_all_at_once() {
    let text = r#"
host = "a"
stop_timeout = "0s"
[listen]
socket = "127.0.0.1:1"
tcp = "[::]:7444"
[engine]
endpoint = "https://engine:7443"
"#;
    let Err(ConfigError::Contradictory(faults)) = Config::parse(text, []) else { panic!("accepted") };
    assert_eq!(faults.len(), 4, "{faults:?}");
}

#[test]
fn passwords_in_uris_are_not_shown() {
    let text = "host = \"a\"\n[libvirt]\nuri = \"qemu+tcp://ada:secret@host/system\"";
    let shown = Config::parse(text, []).unwrap().to_string();
    assert!(shown.contains("libvirt.uri = qemu+tcp://***@host/system"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn the_sample_is_read() {
    let sample = Config::parse(include_str!("../../../deploy/config/host-agent.toml"), []).unwrap();
    assert!(sample.engine.unwrap().tls.is_some());
}
