package prm

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// DataCard describes a selection for those who train on it, in the form of a data set's README on the Hugging Face hub.
type DataCard struct {
	Title    string
	Form     string   // of the rows
	Pool     []string // files that were selected from
	Scorer   string   // the model or the files that the scores are of
	Against  []string // files that the selection was cleaned against
	Licence  string   // "": the pool's, which is not known here
	Options  SelectOptions
	Report   SelectionReport
	Versions string // of the program
}

// Write writes the card as Markdown.
func (c DataCard) Write(w io.Writer) error {
	var b strings.Builder
	licence := c.Licence
	if licence == "" {
		licence = "other"
	}
	b.WriteString(frontMatter(struct {
		Licence string   `yaml:"license"`
		Tasks   []string `yaml:"task_categories"`
		Sizes   []string `yaml:"size_categories"`
		Tags    []string `yaml:"tags"`
	}{licence, []string{"text-generation"}, []string{sizeCategory(c.Report.Kept)}, []string{"reasoning", "process-reward-model", "goprm"}}))
	fmt.Fprintf(&b, "\n# %s\n\n", strings.ReplaceAll(c.Title, "\n", " "))
	reward := "the mean score of its steps"
	if c.Report.Alpha != nil {
		reward += fmt.Sprintf(" plus %g times its score as a whole", *c.Report.Alpha)
	}
	fmt.Fprintf(&b, "%d of %d trajectories, chosen by a process reward model: those with the highest reward, which is %s. Ties went to "+
		"the smaller id. Rows are in the form `%s`, best first; rewards go from %.4f down to %.4f.\n",
		c.Report.Kept, c.Report.Pool, reward, c.Form, c.Report.Highest, c.Report.Lowest)
	if c.Licence == "" {
		b.WriteString("\nThe licence is that of the pool; state it before sharing.\n")
	}
	fmt.Fprintf(&b, "\n| | |\n|---|---|\n| pool | %s |\n| scores | %s |\n", cells(c.Pool), cell(c.Scorer))
	if c.Options.PerDomain > 0 {
		fmt.Fprintf(&b, "| most of one domain | %d |\n", c.Options.PerDomain)
	}
	switch c.Options.Unique {
	case "exact":
		b.WriteString("| repeated problems | dropped where all words are equal |\n")
	case "near":
		similarity := c.Options.Similarity
		if similarity == 0 {
			similarity = defaultSimilarity
		}
		fmt.Fprintf(&b, "| repeated problems | dropped where MinHash (128 hashes, runs of 3 words) puts the overlap at %g or more |\n",
			similarity)
	}
	if len(c.Against) > 0 {
		fmt.Fprintf(&b, "| cleaned against | %s: no problem equals one of theirs or shares 8 words in a row with one |\n", cells(c.Against))
	}
	if c.Versions != "" {
		fmt.Fprintf(&b, "| made by | %s |\n", cell(c.Versions))
	}
	fmt.Fprintf(&b, "\n| what became of the pool | rows |\n|---|---|\n")
	for _, line := range []struct {
		name string
		n    int
	}{{"kept", c.Report.Kept}, {"lower reward", c.Report.Below}, {"domain full", c.Report.OverQuota},
		{"problem repeated", c.Report.Duplicates},
		{"contaminated", c.Report.Contaminated}, {"no score", c.Report.Unscored}, {"unreadable", c.Report.Bad}} {
		fmt.Fprintf(&b, "| %s | %d |\n", line.name, line.n)
	}
	if domains := slices.Sorted(maps.Keys(c.Report.Domains)); len(domains) > 1 {
		fmt.Fprintf(&b, "\n| domain | kept |\n|---|---|\n")
		for _, d := range domains {
			fmt.Fprintf(&b, "| %s | %d |\n", cell(d), c.Report.Domains[d])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cells(list []string) string { return cell(strings.Join(list, ", ")) }

// cell is text that cannot break a table.
func cell(text string) string {
	if text == "" {
		return "(none)"
	}
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}

// sizeCategory is one of the hub's.
func sizeCategory(n int) string {
	for _, c := range []struct {
		below int
		name  string
	}{{1_000, "n<1K"}, {10_000, "1K<n<10K"}, {100_000, "10K<n<100K"}, {1_000_000, "100K<n<1M"}} {
		if n < c.below {
			return c.name
		}
	}
	return "1M<n<10M"
}
