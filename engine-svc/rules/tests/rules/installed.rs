//! The catalogue of stock filters against the files that libvirt installs.

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use trestle_model::{FilterEntry, NwFilter};
use trestle_rules::stock_filters;

const INSTALLED: &str = "/etc/libvirt/nwfilter";

#[test]
fn the_catalogue_is_what_libvirt_installs() {
    if !Path::new(INSTALLED).is_dir() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{INSTALLED} is not there, and CI skips nothing");
        eprintln!("skipped: {INSTALLED} is not there, libvirt's filters are not installed");
        return;
    }
    let mut checked = 0;
    for filter in stock_filters() {
        let path = format!("{INSTALLED}/{}.xml", filter.name);
        // libvirt installs a file for each; whoever removed one has nothing to be held against.
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {path} is not there");
            continue;
        };
        assert_eq!(written(filter), read(&text), "{}", filter.name);
        checked += 1;
    }
    assert!(checked > 0, "no filter was there");
}

/// Writes a filter of the catalogue as lines.
fn written(filter: &NwFilter) -> Vec<String> {
    let entry = |entry: &FilterEntry| match entry {
        FilterEntry::Rule(rule) => rule.to_string(),
        FilterEntry::Refers(other) => format!("refers to {other}"),
    };
    let head = format!("{} {} {}", filter.name, filter.chain, filter.priority);
    [head].into_iter().chain(filter.entries.iter().map(entry)).collect()
}

/// Reads an installed filter as the same lines.
fn read(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    let (mut lines, mut rule) = (Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) => rule.push_str(&opening(&tag, &mut lines)),
            Event::Empty(tag) => {
                rule.push_str(&opening(&tag, &mut lines));
                if tag.name().as_ref() == "rule" {
                    lines.push(std::mem::take(&mut rule));
                }
            }
            Event::End(tag) if tag.name().as_ref() == "rule" => lines.push(std::mem::take(&mut rule)),
            Event::End(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    lines
}

/// Reads a tag: filters and references are lines of their own, a rule and its protocol make one.
fn opening(tag: &BytesStart<'_>, lines: &mut Vec<String>) -> String {
    let attributes: Vec<(String, String)> = tag
        .attributes()
        .map(|attribute| {
            let attribute = attribute.unwrap();
            (attribute.key.as_ref().to_owned(), attribute.value.into_owned())
        })
        .collect();
    let by_name: BTreeMap<&str, &str> = attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    match tag.name().as_ref() {
        "filter" => {
            let chain = by_name.get("chain").copied().unwrap_or("root");
            let place = match chain {
                "mac" => "-810",
                "ipv4" => "-700",
                "ipv6" => "-600",
                "arp" => "-500",
                "rarp" => "-400",
                _ => "0",
            };
            lines.push(format!("{} {chain} {}", by_name["name"], by_name.get("priority").copied().unwrap_or(place)));
            String::new()
        }
        "filterref" => {
            lines.push(format!("refers to {}", by_name["filter"]));
            String::new()
        }
        "rule" => {
            let priority = by_name.get("priority").copied().unwrap_or("500");
            format!("{} {} {priority}", by_name["action"], by_name["direction"])
        }
        "uuid" => String::new(),
        protocol => {
            let matches = attributes.iter().filter(|(name, _)| name != "match");
            let matches: String = matches.map(|(name, value)| format!(" {name}={value}")).collect();
            format!(" {protocol}{matches}")
        }
    }
}
