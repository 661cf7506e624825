//! `fapo providers`: every provider of models, and the settings that a route to it may have.

use super::Exit;
use super::lines::{Line, ProviderLine, SettingLine};
use super::printer::Printer;
use fapo_core::InputError;
use fapo_core::config::provider_name;
use fapo_provider::{PROVIDERS, ProviderKind};

/// Show the providers of models, or the settings of one for its route in the operator's file.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo providers openai")]
pub(super) struct Providers {
    /// A provider: show its settings.
    provider: Option<String>,
}

impl Providers {
    pub(super) fn run(self, printer: Printer) -> Result<Exit, InputError> {
        match &self.provider {
            None => {
                let rows = PROVIDERS.iter().map(|kind| vec![kind.name.into(), kind.summary.into()]).collect();
                printer.table(&["provider", "what it is"], rows);
                PROVIDERS.iter().for_each(|kind| printer.line(&line(kind)));
            }
            Some(name) => {
                let kind = ProviderKind::named(&provider_name(name))?;
                printer.text(&format!("{}: {}", kind.name, kind.summary));
                let rows = kind.settings.iter().map(|setting| vec![setting.name.into(), setting.help.into()]).collect();
                printer.table(&["setting", "what it means"], rows);
                printer.line(&line(kind));
            }
        }
        Ok(Exit::Done)
    }
}

fn line(kind: &ProviderKind) -> Line {
    let settings = kind.settings.iter();
    Line::Provider(ProviderLine {
        name: kind.name.into(),
        summary: kind.summary.into(),
        settings: settings.map(|one| SettingLine { name: one.name.into(), summary: one.help.into() }).collect(),
    })
}
