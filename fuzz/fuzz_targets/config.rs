#![no_main]
//! Any text as a config file, with any override: errors, never panics; and a config that loads can be
//! written and loads to the same again.

use isograd_train::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Option<&str>)| {
    let overrides: Vec<String> = input.1.map(str::to_owned).into_iter().collect();
    if let Ok(config) = Config::parse(input.0, &overrides, "fuzz") {
        let text = config.to_toml().expect("every config can be written");
        let again = Config::parse(&text, &[], "again").expect("a written config loads");
        assert_eq!(config, again);
    }
});
