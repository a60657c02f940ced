//! The XML of a network filter.
//!
//! *Source*: libvirt, "Network Filters".

use trestle_model::{FilterAction, FilterDirection, FilterEntry, FilterRule, NwFilter, OwnFilter, Polarity};

use super::{BadXml, Element, visit};

/// Reads a filter's XML, as libvirt prints it.
///
/// *Errors*: it is no filter, or has a rule whose action or direction is not known.
pub(crate) fn parse(xml: &str) -> Result<NwFilter, BadXml> {
    let mut filter = None::<NwFilter>;
    visit(xml, |element| {
        let Some(filter) = &mut filter else {
            filter = Some(head(element)?);
            return Ok(());
        };
        match element.path {
            [_, kind] if kind == "filterref" => filter.entries.push(FilterEntry::Refers(required(element, "filter")?)),
            // Whoever gives such an address inside a filter lets every guest behind it send from there.
            [_, kind, parameter] if kind == "filterref" && parameter == "parameter" => refuse_mac(element)?,
            [_, kind] if kind == "rule" => filter.entries.push(FilterEntry::Rule(rule(element)?)),
            [_, kind, protocol] if kind == "rule" => {
                if let Some(FilterEntry::Rule(rule)) = filter.entries.last_mut() {
                    add_protocol(rule, protocol, element)?;
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    filter.ok_or_else(|| BadXml("there is no filter".to_owned()))
}

fn refuse_mac(element: &Element<'_>) -> Result<(), BadXml> {
    match required(element, "name")?.as_str() {
        name @ ("MAC" | OwnFilter::EXTRA_MAC) => Err(BadXml(format!("a reference gives {name}, and is not judged"))),
        _ => Ok(()),
    }
}

fn head(element: &Element<'_>) -> Result<NwFilter, BadXml> {
    if !element.is_at(&["filter"]) {
        return Err(BadXml("it is no filter".to_owned()));
    }
    let chain = element.attribute("chain")?.unwrap_or_else(|| "root".to_owned());
    let filter = NwFilter::new(&required(element, "name")?, &chain, &[]);
    Ok(match number(element, "priority")? {
        Some(priority) => filter.ordered(priority),
        None => filter,
    })
}

fn rule(element: &Element<'_>) -> Result<FilterRule, BadXml> {
    let action = match required(element, "action")?.as_str() {
        "accept" => FilterAction::Accept,
        "drop" | "reject" => FilterAction::Drop,
        "return" => FilterAction::Return,
        "continue" => FilterAction::Continue,
        other => return Err(BadXml(format!("a rule's action {other:?} is not known"))),
    };
    let direction = match required(element, "direction")?.as_str() {
        "in" => FilterDirection::In,
        "out" => FilterDirection::Out,
        "inout" => FilterDirection::Both,
        other => return Err(BadXml(format!("a rule's direction {other:?} is not known"))),
    };
    Ok(FilterRule::new(action, direction).at(number(element, "priority")?.unwrap_or(FilterRule::PRIORITY)))
}

/// Adds what an element of a rule matches; libvirt takes the first protocol of a rule, and only elements of that.
fn add_protocol(rule: &mut FilterRule, protocol: &str, element: &Element<'_>) -> Result<(), BadXml> {
    if rule.protocol.get_or_insert_with(|| protocol.to_owned()) != protocol {
        return Ok(());
    }
    let mut attributes = element.attributes()?;
    let is_no = |(name, value): &(String, String)| name == "match" && value == "no";
    let polarity = if attributes.iter().any(is_no) { Polarity::Lacks } else { Polarity::Carries };
    attributes.retain(|(name, _)| !matches!(name.as_str(), "match" | "comment"));
    if rule.matches.is_empty() {
        (rule.polarity, rule.matches) = (polarity, attributes);
    } else if rule.polarity == polarity {
        rule.matches.extend(attributes);
    } else {
        // libvirt looks for the one and for the absence of the other: more than is judged here, so the guest may choose.
        (rule.polarity, rule.matches) = (Polarity::Carries, vec![("match".to_owned(), "mixed".to_owned())]);
    }
    Ok(())
}

fn required(element: &Element<'_>, name: &str) -> Result<String, BadXml> {
    element.attribute(name)?.ok_or_else(|| BadXml(format!("{} has no {name}", element.path.join("/"))))
}

fn number(element: &Element<'_>, name: &str) -> Result<Option<i32>, BadXml> {
    let Some(text) = element.attribute(name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| BadXml(format!("{name} {text:?} is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filter as somebody might write it, and what libvirt prints of it.
    const OURS: &str = "<filter name='ours' chain='mac' priority='-750'>
        <uuid>ce2f1a4c-7d0c-4d4e-a3a5-0b6c5d5e7f10</uuid>
        <filterref filter='no-mac-spoofing'/>
        <rule action='reject' direction='inout' priority='300' statematch='false'>
          <mac match='no' srcmacaddr='$MAC' comment='ours alone'/><arp opcode='1'/>
        </rule>
        <rule action='drop' direction='out'/>
      </filter>";

    #[test]
    fn a_filter_is_read_rule_by_rule() {
        let ours = FilterRule {
            polarity: Polarity::Lacks,
            ..FilterRule::new(FilterAction::Drop, FilterDirection::Both).at(300).when("mac", &[("srcmacaddr", "$MAC")])
        };
        let rest = FilterRule::new(FilterAction::Drop, FilterDirection::Out);
        let entries = [FilterEntry::refers("no-mac-spoofing"), FilterEntry::Rule(ours), FilterEntry::Rule(rest)];
        assert_eq!(parse(OURS).unwrap(), NwFilter::new("ours", "mac", &entries).ordered(-750));
        assert_eq!(parse("<filter name='bare'/>").unwrap(), NwFilter::new("bare", "root", &[]));
    }

    #[test]
    fn a_rule_that_looks_for_one_thing_and_not_for_another_is_not_judged() {
        let mixed = "<filter name='mixed' chain='mac'><rule action='drop' direction='out'>
              <mac protocolid='arp'/><mac match='no' srcmacaddr='$MAC'/></rule></filter>";
        let FilterEntry::Rule(rule) = parse(mixed).unwrap().entries.remove(0) else { panic!("no rule") };
        assert_eq!((rule.polarity, rule.matches), (Polarity::Carries, vec![("match".to_owned(), "mixed".to_owned())]));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (text, said) in [
            ("<domain name='web'/>", "it is no filter"),
            ("<filter/>", "filter has no name"),
            ("<filter name='a' priority='high'/>", "priority \"high\" is no number"),
            ("<filter name='a'><rule action='sing' direction='in'/></filter>", "action \"sing\" is not known"),
            ("<filter name='a'><rule action='drop' direction='up'/></filter>", "direction \"up\" is not known"),
            ("<filter name='a'><filterref/></filter>", "filter/filterref has no filter"),
            (
                "<filter name='a'><filterref filter='b'><parameter name='EXTRA_MAC' value='52:54:00:00:00:09'/></filterref></filter>",
                "a reference gives EXTRA_MAC",
            ),
            ("", "there is no element"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
