// Package shell reads a command line of bash and says which programs it would start, as far as its text shows.
//
// It is pure and runs nothing. A program is found in every place where bash would start it: lists, pipes, substitutions,
// functions, here-documents, and behind other programs that start their arguments (env, xargs, find -exec, sh -c, git
// aliases). Where the text does not show what would run, [Analysis.Unclear] says so, and nothing is guessed: a caller that
// allows an unclear line allows anything. Even a clear line is no promise about what its programs do.
package shell

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// Bounds of a line. What is beyond them was not written to be read.
const (
	MaxLine     = 64 << 10
	maxDepth    = 32
	maxCommands = 1000
)

// A Word is one argument after the removal of quotes.
type Word struct {
	Text    string // what the program gets, if Literal; otherwise as it is written
	Literal bool   // no variable or substitution is in it
	Pattern bool   // bash would expand it to names of files, or to several words
	Tilde   bool   // it begins with a tilde that bash expands
	Several bool   // it has braces or an extended pattern, which this package does not expand
}

// A Command is one program, builtin or function that the line would start.
type Command struct {
	Name  string   // the base name of the first word ("rm" of "/usr/./bin//rm"), "" if that is not literal
	Words []Word   // first the program as it is written
	Env   []string // names of the variables that are set for it
	Via   []string // what starts it, outermost first: "sudo", "xargs"
	Added bool     // further arguments come when it runs
	Piped bool     // it reads what another command writes, or a here-document
	Given bool     // that is in the text of the line
}

// An Access is what is done to a file.
type Access uint8

// The accesses.
const (
	Read Access = iota
	Write
)

// A File is named by the line itself: the target of a redirection, or a script.
type File struct {
	Word
	Access Access
	Forced bool // also what noclobber keeps (">|")
}

// An Analysis is what a line would do.
type Analysis struct {
	Commands []Command
	Files    []File
	Unclear  []string // why the text does not show all of it, in phrases that a model can act on
	Broken   bool     // it is no command line at all, or not one of a sane size
}

// Analyze reads a line.
func Analyze(line string) Analysis {
	a := &analyzer{}
	a.program(line, from{})
	if len(a.out.Commands) > maxCommands {
		a.broken("it starts too many programs")
	}
	return a.out
}

type analyzer struct {
	out   Analysis
	depth int
}

// A from is where a command stands.
type from struct {
	via   []string
	piped bool
	text  *string // of its standard input, where the line shows it
	added bool
	env   []string
}

func (f from) by(name string) from {
	f.via, f.env, f.added = append(slices.Clone(f.via), name), nil, false
	return f
}

func (a *analyzer) unclear(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(a.out.Unclear, text) {
		a.out.Unclear = append(a.out.Unclear, text)
	}
}

func (a *analyzer) broken(why string) {
	a.out.Broken = true
	a.unclear("%s", why)
}

// program reads a text that bash would be given.
func (a *analyzer) program(text string, f from) {
	a.depth++
	defer func() { a.depth-- }()
	switch {
	case len(text) > MaxLine:
		a.broken("it is too long for a command line")
	case a.depth > maxDepth:
		a.broken("it is nested too deeply")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, invisible):
		a.broken("it has invisible or broken characters in it")
	}
	if a.out.Broken {
		return
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		a.broken("it cannot be parsed as a command of bash")
		return
	}
	a.stmts(file.Stmts, f)
}

// invisible characters show nothing, or make a line look otherwise than it is.
func invisible(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError)
}

func (a *analyzer) stmts(list []*syntax.Stmt, f from) {
	for _, s := range list {
		a.stmt(s, f)
	}
}

func (a *analyzer) stmt(s *syntax.Stmt, f from) {
	if s == nil || a.out.Broken || len(a.out.Commands) > maxCommands {
		return
	}
	if a.depth++; a.depth > maxDepth*4 {
		a.broken("it is nested too deeply")
	}
	defer func() { a.depth-- }()
	for _, r := range s.Redirs {
		f = a.redirect(r, f)
	}
	a.command(s.Cmd, f)
}

func (a *analyzer) command(c syntax.Command, f from) {
	switch c := c.(type) {
	case nil:
	case *syntax.CallExpr:
		a.call(c, f)
	case *syntax.BinaryCmd:
		a.stmt(c.X, f)
		if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
			f.piped, f.text = true, nil
		}
		a.stmt(c.Y, f)
	case *syntax.Block:
		a.stmts(c.Stmts, f)
	case *syntax.Subshell:
		a.stmts(c.Stmts, f)
	case *syntax.FuncDecl:
		a.stmt(c.Body, f)
	case *syntax.TimeClause:
		a.stmt(c.Stmt, f)
	case *syntax.CoprocClause:
		a.stmt(c.Stmt, f)
	case *syntax.DeclClause:
		a.declare(c, f)
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			a.stmts(c.Cond, f)
			a.stmts(c.Then, f)
		}
	case *syntax.WhileClause:
		a.stmts(c.Cond, f)
		a.stmts(c.Do, f)
	case *syntax.ForClause:
		a.inner(c.Loop, f)
		a.stmts(c.Do, f)
	case *syntax.CaseClause:
		a.inner(c.Word, f)
		for _, item := range c.Items {
			for _, p := range item.Patterns {
				a.inner(p, f)
			}
			a.stmts(item.Stmts, f)
		}
	case *syntax.TestClause, *syntax.ArithmCmd, *syntax.LetClause:
		a.inner(c, f)
		a.evaluated(c)
	default:
		a.unclear("it has a construct in it that is not known")
	}
}

// inner finds the substitutions in a word or an expression.
func (a *analyzer) inner(n syntax.Node, f from) {
	if n == nil {
		return
	}
	f = from{via: f.via}
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			a.expansion(n)
		case *syntax.CmdSubst:
			a.stmts(n.Stmts, f)
			return false
		case *syntax.ProcSubst:
			a.stmts(n.Stmts, f)
			return false
		}
		return true
	})
}

// redirect notes the file of a redirection, and what becomes of the standard input.
func (a *analyzer) redirect(r *syntax.Redirect, f from) from {
	a.inner(r.Word, f)
	if r.Hdoc != nil {
		a.inner(r.Hdoc, f)
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
		body := r.Hdoc
		if r.Op == syntax.WordHdoc {
			body = r.Word
		}
		f.piped, f.text = true, nil
		if w := word(body); body != nil && (w.Literal || r.Op != syntax.WordHdoc && quoted(r.Word)) {
			text := w.Text
			f.text = &text
		}
		return f
	case syntax.DplIn, syntax.DplOut:
		if w := word(r.Word); w.Literal && (w.Text == "-" || strings.Trim(w.Text, "0123456789-") == "") {
			return f
		}
	}
	switch r.Op {
	case syntax.RdrIn, syntax.DplIn:
		a.file(r.Word, Read)
		f.piped, f.text = true, nil
	case syntax.RdrInOut:
		a.file(r.Word, Read)
		a.file(r.Word, Write)
	default:
		a.file(r.Word, Write)
		if n := len(a.out.Files); n > 0 && r.Op == syntax.RdrClob {
			a.out.Files[n-1].Forced = true
		}
	}
	return f
}

// quoted reports a here-document whose body bash takes as it is.
func quoted(w *syntax.Word) bool {
	return w != nil && slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool {
		lit, plain := p.(*syntax.Lit)
		return !plain || strings.Contains(lit.Value, `\`)
	})
}

func (a *analyzer) file(w *syntax.Word, access Access) {
	if w == nil || len(w.Parts) == 1 && isProcSubst(w.Parts[0]) {
		return
	}
	a.out.Files = append(a.out.Files, File{Word: word(w), Access: access})
}

func isProcSubst(p syntax.WordPart) bool {
	_, ok := p.(*syntax.ProcSubst)
	return ok
}

func (a *analyzer) declare(c *syntax.DeclClause, f from) {
	words := []Word{{Text: c.Variant.Value, Literal: true}}
	for _, arg := range c.Args {
		a.inner(arg, f)
		if arg.Name != nil && !arg.Naked {
			a.assigned(arg.Name.Value)
			a.value(arg.Value)
		} else if arg.Value != nil {
			w := word(arg.Value)
			if !w.Literal {
				a.unclear("the name of a variable comes from another: write it out")
			}
			words = append(words, w)
		}
	}
	a.add(words, f)
}

func (a *analyzer) call(c *syntax.CallExpr, f from) {
	for _, as := range c.Assigns {
		a.inner(as, f)
		a.value(as.Value)
		if as.Name != nil {
			a.assigned(as.Name.Value)
			f.env = append(slices.Clone(f.env), as.Name.Value)
		}
	}
	var words []Word
	for _, w := range c.Args {
		a.inner(w, f)
		words = append(words, word(w))
	}
	a.start(words, f)
}

// start notes the program of some words, and those that it would start itself.
func (a *analyzer) start(words []Word, f from) {
	if len(words) == 0 || a.out.Broken {
		return
	}
	first := words[0]
	switch {
	case !first.Literal:
		a.unclear("the name of a program comes from a variable or a substitution: write it out")
	case first.Pattern && first.Text != "[":
		a.unclear("the name of a program is a pattern: write it out")
	case strings.ContainsFunc(first.Text, func(r rune) bool { return r <= ' ' || r > '~' }):
		a.unclear("the name of a program has unusual characters in it: %q", first.Text)
	}
	a.add(words, f)
	name := programName(first)
	if slices.Contains(evaluating, name) {
		for _, w := range words[1:] {
			if strings.Contains(w.Text, "[") {
				a.index(w)
			}
		}
	}
	if unwrap := unwrapperOf(name); unwrap != nil {
		if len(f.via) >= maxDepth {
			a.broken("it is nested too deeply")
			return
		}
		unwrap(a, words[1:], f.by(name))
	}
}

func (a *analyzer) add(words []Word, f from) {
	a.out.Commands = append(a.out.Commands, Command{Name: programName(words[0]), Words: words, Env: f.env, Via: f.via, Added: f.added, Piped: f.piped, Given: f.text != nil})
}

func programName(w Word) string {
	if !w.Literal || w.Pattern && w.Text != "[" || w.Text == "" {
		return ""
	}
	if w.Text == "." {
		return "source"
	}
	name := path.Base(path.Clean(w.Text))
	if base := strings.TrimRight(name, "0123456789."); slices.Contains([]string{"python", "perl", "ruby", "php", "lua", "node", "pip"}, base) {
		return base
	}
	return name
}
