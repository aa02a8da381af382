//! Which elements the ions of an OUTCAR are: its head names a potential for each species, and counts the ions of each.
//!
//! Potentials are named in `POTCAR:` lines, each twice, and unless NWRITE is 0 in `TITEL` and `VRHFIN` lines, each
//! once. Counts are in columns of four digits, which run into each other from 1000 ions on.

use isograd_structure::Element;

/// What the head says.
#[derive(Default)]
pub(super) struct Species {
    /// Of the `TITEL` lines.
    titles: Vec<Option<Element>>,
    /// Of the `POTCAR:` lines.
    potentials: Vec<Option<Element>>,
    /// Of the `VRHFIN` lines.
    shells: Vec<Option<Element>>,
    /// NIONS.
    ions: Option<usize>,
    /// Behind `ions per type =`.
    per_type: Option<String>,
}

impl Species {
    /// Takes what a line of the head says.
    pub(super) fn note(&mut self, line: &str) {
        if let Some(title) = line.strip_prefix("TITEL") {
            self.titles.push(element_of_potential(title));
        } else if let Some(title) = line.strip_prefix("POTCAR:") {
            self.potentials.push(element_of_potential(title));
        } else if let Some(shells) = line.strip_prefix("VRHFIN =") {
            self.shells.push(shells.split(':').next().and_then(|symbol| symbol.trim().parse().ok()));
        } else if let Some(counts) = line.strip_prefix("ions per type =") {
            self.per_type = Some(counts.to_owned());
        } else if let Some((_, ions)) = line.split_once("NIONS =") {
            self.ions = ions.split_whitespace().next().and_then(|word| word.parse().ok()).filter(|&ions| ions > 0);
        }
    }

    /// The species in their order, and how many ions there are of each.
    ///
    /// # Errors
    /// A sentence about what the head lacks, or where its lines contradict each other.
    pub(super) fn runs(&self) -> Result<Vec<(Element, usize)>, String> {
        const ELSEWHERE: &str = "the elements cannot be told: read the vasprun.xml of the run";
        let ions = self.ions.ok_or_else(|| format!("there is no line with `NIONS =` above, so {ELSEWHERE}"))?;
        let per_type = self.per_type.as_deref();
        let per_type = per_type.ok_or_else(|| format!("there is no line `ions per type =` above, so {ELSEWHERE}"))?;
        let mut counts = [words(per_type), columns(per_type)].into_iter().flatten();
        let counts = counts.find(|counts| sum(counts) == Some(ions)).ok_or_else(|| {
            format!("`ions per type = {}` does not add up to NIONS = {ions}, so {ELSEWHERE}", per_type.trim())
        })?;
        let (first, second) = self.potentials.split_at(self.potentials.len() / 2);
        let halves = if first == second { first } else { &[] };
        let all = |names: &[Option<Element>]| -> Option<Vec<Element>> {
            (names.len() == counts.len()).then(|| names.iter().copied().collect()).flatten()
        };
        let elements = [&self.titles[..], halves, &self.potentials[..], &self.shells[..]].into_iter().find_map(all);
        let elements = elements.ok_or_else(|| {
            let [titles, potentials, shells] = [&self.titles, &self.potentials, &self.shells].map(Vec::len);
            format!(
                "`ions per type` counts {} species, which neither the {titles} TITEL lines nor the {potentials} \
                 POTCAR: lines nor the {shells} VRHFIN lines above name one by one, so {ELSEWHERE}",
                counts.len()
            )
        })?;
        Ok(elements.into_iter().zip(counts).collect())
    }
}

/// The element that a potential is for, by its title, as in `PAW_PBE Ti_sv 26Sep2005`, `US O` or `H  1/r potential`.
pub(super) fn element_of_potential(title: &str) -> Option<Element> {
    let letters = |word: &str| word.split(|c: char| !c.is_ascii_alphabetic()).next()?.parse().ok();
    title.split_whitespace().find_map(letters)
}

fn sum(counts: &[usize]) -> Option<usize> {
    counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(count))
}

/// Counts with spaces between them.
fn words(text: &str) -> Option<Vec<usize>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// Counts in columns of four, which end where the text ends.
fn columns(text: &str) -> Option<Vec<usize>> {
    let text = text.trim().as_bytes();
    text.rchunks(4).rev().map(|column| std::str::from_utf8(column).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(lines: &[&str]) -> Result<Vec<(&'static str, usize)>, String> {
        let mut species = Species::default();
        lines.iter().for_each(|line| species.note(line));
        Ok(species.runs()?.into_iter().map(|(element, count)| (element.symbol(), count)).collect())
    }

    const IONS: &str = "number of dos      NEDOS =    301   number of ions     NIONS =      3";
    const COUNTS: &str = "ions per type =               1   2";

    #[test]
    fn potentials_are_named_in_three_ways() {
        let expected = Ok(vec![("Ti", 1), ("O", 2)]);
        let potcars = ["POTCAR:    PAW_PBE Ti_sv 26Sep2005", "POTCAR:    PAW_PBE O 08Apr2002"];
        let twice = [potcars, potcars].concat();
        assert_eq!(runs(&[&twice[..], &[IONS, COUNTS]].concat()), expected);
        assert_eq!(runs(&[&potcars[..], &[IONS, COUNTS]].concat()), expected);
        let titles = ["TITEL  = PAW_PBE Ti_sv 26Sep2005", "TITEL  = PAW_PBE O 08Apr2002", IONS, COUNTS];
        assert_eq!(runs(&[&potcars[..1], &titles[..]].concat()), expected);
        assert_eq!(runs(&["VRHFIN =Ti: 3d3 4s1", "VRHFIN =O: s2p4", IONS, COUNTS]), expected);
        for (title, symbol) in
            [("US O", "O"), (" PAW_PBE H1.25 07Sep2000", "H"), (" H  1/r potential", "H"), ("= PAW Xe 07Sep2000", "Xe")]
        {
            assert_eq!(element_of_potential(title).unwrap().symbol(), symbol);
        }
    }

    #[test]
    fn counts_may_run_into_each_other() {
        let lines = ["POTCAR: PAW Na", "POTCAR: PAW Cl", "NIONS =   2448", "ions per type =            12241224"];
        assert_eq!(runs(&lines), Ok(vec![("Na", 1224), ("Cl", 1224)]));
    }

    #[test]
    fn contradictions_are_named() {
        let oxygen = "TITEL  = PAW_PBE O 08Apr2002";
        for (lines, expected) in [
            (&[oxygen, COUNTS][..], "no line with `NIONS =`"),
            (&[oxygen, IONS], "no line `ions per type =`"),
            (&[oxygen, IONS, "ions per type =  2"], "`ions per type = 2` does not add up to NIONS = 3"),
            (&[oxygen, IONS, "ions per type =  x"], "does not add up"),
            (&[oxygen, IONS, COUNTS], "counts 2 species, which neither the 1 TITEL lines nor the 0 POTCAR: lines"),
            (&["NIONS = 3", "ions per type = 18446744073709551615 4"], "does not add up"),
        ] {
            assert!(runs(lines).unwrap_err().contains(expected), "{lines:?}");
        }
    }
}
