package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what a shell sources to complete commands, flags and their values.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCommand) Help() string {
	return "Examples:\n\n  source <(prm completion bash)      # or in ~/.bashrc\n" +
		"  source <(prm completion zsh)       # after compinit, in ~/.zshrc\n  prm completion fish | source       # in ~/.config/fish/config.fish"
}

func (c completionCommand) Run(p *program, parsed *kong.Context) error {
	write := map[string]func(io.Writer, *kong.Application) error{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	return write[c.Shell](p.stdout, parsed.Model)
}

// completable is a command path with its flags; sub-commands are its arguments.
type completable struct {
	path  []string
	node  *kong.Node
	words []string // of sub-commands
}

// completables lists the root, the commands and their sub-commands. The flags of a default sub-command are its parent's too.
func completables(app *kong.Application) []completable {
	var list []completable
	var visit func(path []string, node *kong.Node)
	visit = func(path []string, node *kong.Node) {
		c := completable{path: path, node: node}
		for _, child := range commandsOf(node) {
			c.words = append(c.words, child.Name)
		}
		list = append(list, c)
		for _, child := range commandsOf(node) {
			visit(append(slices.Clone(path), child.Name), child)
		}
	}
	visit(nil, app.Node)
	return list
}

func commandsOf(node *kong.Node) []*kong.Node {
	return slices.DeleteFunc(slices.Clone(node.Children), func(n *kong.Node) bool { return n.Type != kong.CommandNode || n.Hidden })
}

// flagsOf are a command's own flags and those of every command, by name.
func flagsOf(c completable, app *kong.Application) []*kong.Flag {
	flags := slices.Clone(app.Flags)
	if c.node != app.Node {
		flags = append(flags, c.node.Flags...)
	}
	if c.node.DefaultCmd != nil {
		flags = append(flags, c.node.DefaultCmd.Flags...)
	}
	slices.SortStableFunc(flags, func(a, b *kong.Flag) int { return strings.Compare(a.Name, b.Name) })
	flags = slices.DeleteFunc(flags, func(f *kong.Flag) bool { return f.Hidden })
	return slices.CompactFunc(flags, func(a, b *kong.Flag) bool { return a.Name == b.Name })
}

func valuesOf(f *kong.Flag) []string {
	return slices.DeleteFunc(strings.Split(f.Enum, ","), func(s string) bool { return s == "" })
}

func bashCompletion(w io.Writer, app *kong.Application) error {
	var b strings.Builder
	b.WriteString("_prm() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= word= offer= values=\n" +
		"  for word in \"${COMP_WORDS[@]:1:$((COMP_CWORD-1))}\"; do\n    case \"$at $word\" in\n")
	for _, c := range completables(app)[1:] {
		fmt.Fprintf(&b, "      %q) at=%q ;;\n", spaced(c.path), spaced(c.path))
	}
	b.WriteString("    esac\n  done\n  case \"$at $prev\" in\n")
	for _, c := range completables(app) {
		for _, f := range flagsOf(c, app) {
			if values := valuesOf(f); len(values) > 0 {
				fmt.Fprintf(&b, "    %q) values=%q ;;\n", spaced(c.path)+" --"+f.Name, strings.Join(values, " "))
			}
		}
	}
	b.WriteString("  esac\n  if [ -n \"$values\" ]; then COMPREPLY=($(compgen -W \"$values\" -- \"$cur\")); return; fi\n  case \"$at\" in\n")
	for _, c := range completables(app) {
		words := slices.Clone(c.words)
		for _, f := range flagsOf(c, app) {
			words = append(words, "--"+f.Name)
		}
		fmt.Fprintf(&b, "    %q) offer=%q ;;\n", spaced(c.path), strings.Join(words, " "))
	}
	b.WriteString("  esac\n  COMPREPLY=($(compgen -W \"$offer\" -- \"$cur\"))\n}\ncomplete -o default -F _prm prm\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func spaced(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " " + strings.Join(path, " ")
}

// zshCompletion uses zsh's reading of bash completions, so that both shells have one.
func zshCompletion(w io.Writer, app *kong.Application) error {
	if _, err := io.WriteString(w, "autoload -U +X bashcompinit && bashcompinit\n"); err != nil {
		return err
	}
	return bashCompletion(w, app)
}

func fishCompletion(w io.Writer, app *kong.Application) error {
	var b strings.Builder
	all := completables(app)
	fmt.Fprintf(&b, "complete -c prm -n %s -f\n", fishQuote("not __fish_seen_subcommand_from "+strings.Join(all[0].words, " ")))
	for _, c := range all {
		condition := "not __fish_seen_subcommand_from " + strings.Join(all[0].words, " ")
		if len(c.path) > 0 {
			condition = "__fish_seen_subcommand_from " + strings.Join(c.path, "; and __fish_seen_subcommand_from ")
		}
		for _, child := range commandsOf(c.node) {
			fmt.Fprintf(&b, "complete -c prm -n %s -a %s -d %s\n", fishQuote(condition), child.Name, fishQuote(child.Help))
		}
		for _, f := range flagsOf(c, app) {
			fmt.Fprintf(&b, "complete -c prm -n %s -l %s -d %s", fishQuote(condition), f.Name, fishQuote(f.Help))
			switch values := valuesOf(f); {
			case len(values) > 0:
				fmt.Fprintf(&b, " -x -a %s", fishQuote(strings.Join(values, " ")))
			case !f.IsBool():
				b.WriteString(" -r")
			}
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fishQuote puts a text into single quotes, in which fish knows two escapes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
