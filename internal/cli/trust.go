package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"agentbox/launch"
	"agentbox/profile"
)

type trustOptions struct {
	profileOptions
	file   string
	list   bool
	revoke bool
	yes    bool
	json   bool
}

func newTrust(c *caller) *cli.Command {
	flags := append(selectionFlags(),
		&cli.BoolFlag{Name: "list", Usage: "list the files that are trusted"},
		&cli.BoolFlag{Name: "revoke", Usage: "trust the file no longer"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		jsonFlag())
	return &cli.Command{
		Name: "trust", Usage: "let a project's agentbox.toml widen the profile", UsageText: "agentbox trust [options] [FILE]",
		Description: "Shows what FILE (default: agentbox.toml of the workspace) would widen, asks, and remembers its SHA-256.\nA file that changes is untrusted again.",
		Flags:       flags,
		Action: func(ctx *cli.Context) error {
			o := trustOptions{file: ctx.Args().First(), list: ctx.Bool("list"), revoke: ctx.Bool("revoke"), yes: ctx.Bool("yes"), json: ctx.Bool("json")}
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			var err error
			if o.profileOptions, err = profileOptionsFrom(ctx); err != nil {
				return err
			}
			return trust(ctx.Context, o, c)
		},
	}
}

func trust(ctx context.Context, o trustOptions, c *caller) error {
	switch {
	case o.list && (o.revoke || o.yes || o.file != ""):
		return &usageError{msg: "--list stands alone", hint: helpHint("trust")}
	case o.json && !o.list:
		return &usageError{msg: "--json goes with --list", hint: helpHint("trust")}
	}
	host, err := launch.Probe()
	if err != nil {
		return err
	}
	l, err := newLoader(host)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		return listTrusted(l, o.json, c)
	case o.revoke:
		return revoke(l, o, c)
	}
	return review(ctx, l, o, c)
}

// review shows a file as it is now, asks, and pins the bytes that were shown.
func review(ctx context.Context, l *loader, o trustOptions, c *caller) error {
	l.pins = pins{} // what is trusted already would not show
	p, err := l.load(o.profileOptions)
	if err != nil {
		return quiet(err)
	}
	file, widens, err := l.examine(o, p)
	if err != nil {
		return quiet(err)
	}
	if inside(resolve(l.state), l.ws) {
		return &usageError{msg: fmt.Sprintf("%s lies in the workspace, where the agent could change it", l.state), hint: "set XDG_STATE_HOME to a directory outside"}
	}
	if len(widens) == 0 {
		c.voice.printf("%s only tightens the profile; it needs no trust\n", file.name)
		return nil
	}
	c.showFile(file)
	c.voice.heading("what it would widen")
	for _, f := range widens {
		c.voice.printf("  %s\n", f)
	}
	if yes, err := c.agreed(ctx, o.yes, file); err != nil || !yes {
		return err
	}
	err = changePins(l.state, func(p *pins) {
		p.Files[file.path] = pin{SHA256: digest(file.data), Since: time.Now().UTC().Truncate(time.Second)}
	})
	if err != nil {
		return fmt.Errorf("%s is not trusted: %w", file.name, err)
	}
	c.voice.printf("%s is trusted until it changes\n", file.name)
	return nil
}

// examine reads the file that is to be trusted and finds what it would widen; anything else that is wrong with it is
// an error.
func (l *loader) examine(o trustOptions, p loaded) (*sourceFile, profile.Findings, error) {
	file := p.project
	if o.file != "" {
		var err error
		if file, err = l.toTrust(o.file); err != nil {
			return nil, nil, err
		}
		if p.project == nil || file.path != p.project.path {
			files := []fileLayer{{profile.Project, file}}
			p.effective, p.findings = l.merge("", files, nil)
		} else {
			file = p.project
		}
	}
	if file == nil {
		return nil, nil, &usageError{msg: fmt.Sprintf("there is no %s in %s", projectFile, l.ws), hint: "name the file"}
	}
	var widens, wrong profile.Findings
	for _, f := range p.findings {
		switch {
		case f.File != projectFile || f.Warning:
		case strings.HasPrefix(f.Message, widening):
			f.Message = strings.TrimPrefix(f.Message, widening)
			widens = append(widens, f)
		default:
			wrong = append(wrong, f)
		}
	}
	if len(wrong) > 0 {
		return nil, nil, wrong
	}
	return file, widens, nil
}

// widening begins each finding of package profile about a layer that asks for more.
const widening = "this file may only tighten the profile, and this "

// toTrust reads a file that was named, without following a link at its end.
func (l *loader) toTrust(name string) (*sourceFile, error) {
	path := expandHome(name, l.home, l.dir)
	f, err := readProject(resolve(filepath.Dir(path)), filepath.Base(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &usageError{msg: fmt.Sprintf("%s: there is no such file", name)}
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return f, nil
}

// showFile prints a file that the agent may have written: numbered, every line made visible.
func (c *caller) showFile(f *sourceFile) {
	c.voice.heading(f.name)
	lines := strings.Split(strings.TrimSuffix(string(f.data), "\n"), "\n")
	for i, line := range lines {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\t", "    ")
		c.voice.printf("%5d  %s\n", i+1, line)
	}
	c.voice.printf("\n")
}

// agreed asks a person. Without a terminal there is nobody to ask.
func (c *caller) agreed(ctx context.Context, yes bool, f *sourceFile) (bool, error) {
	if yes {
		return true, nil
	}
	if !isTerminal(c.in) || !c.voice.talks() {
		return false, &usageError{msg: "there is no terminal to ask on", hint: "--yes trusts the file without a question"}
	}
	c.voice.ask("trust %s as it is now? [y/N]", f.name)
	answer, err := bufio.NewReader(io.LimitReader(c.in, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return true, ctx.Err()
	}
	c.voice.notef("nothing was changed")
	return false, exitStatus(exitFailure)
}

// revoke takes files off the list, those too that are no longer there.
func revoke(l *loader, o trustOptions, c *caller) error {
	path := o.file
	if path == "" {
		path = filepath.Join(expandHome(o.workspace, l.home, l.dir), projectFile)
	}
	path = expandHome(path, l.home, l.dir)
	path = filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
	if _, ok := l.pins.Files[path]; !ok {
		return &plainError{err: fmt.Errorf("%s is not trusted", path), hint: `"agentbox trust --list" lists the files that are`}
	}
	if err := changePins(l.state, func(p *pins) { delete(p.Files, path) }); err != nil {
		return fmt.Errorf("%s is still trusted: %w", path, err)
	}
	c.voice.printf("%s is no longer trusted\n", path)
	return nil
}

// A trusted file is one entry of `trust --list`.
type trusted struct {
	File   string    `json:"file"`
	SHA256 string    `json:"sha256"`
	Since  time.Time `json:"since"`
	State  string    `json:"state"` // current, changed or gone
}

func listTrusted(l *loader, asJSON bool, c *caller) error {
	list := []trusted{}
	for path, have := range l.pins.Files {
		list = append(list, trusted{File: path, SHA256: have.SHA256, Since: have.Since, State: l.pinState(path)})
	}
	slices.SortFunc(list, func(a, b trusted) int { return strings.Compare(a.File, b.File) })
	if asJSON {
		return c.voice.json(struct {
			Version int       `json:"version"`
			Files   []trusted `json:"files"`
		}{1, list})
	}
	rows := [][]string{{"STATE", "SINCE", "FILE"}}
	for _, t := range list {
		rows = append(rows, []string{t.State, t.Since.Local().Format(time.DateOnly), t.File})
	}
	if len(list) == 0 {
		c.voice.printf("no file is trusted\n")
		return nil
	}
	c.voice.table(true, rows)
	return nil
}

func (l *loader) pinState(path string) string {
	f, err := readProject(filepath.Dir(path), filepath.Base(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "gone"
	case err != nil || f.path != path || !l.pins.trusts(f):
		return "changed"
	}
	return "current"
}

// seconds writes a duration as ps(1) users expect it.
func seconds(d time.Duration) string {
	s := int(max(0, d) / time.Second)
	switch {
	case s < 60:
		return strconv.Itoa(s) + "s"
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}
