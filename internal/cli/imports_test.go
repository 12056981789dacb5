package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mayImport is the table of packages: who they are, and which of ours they may import. A new edge is a change here.
var mayImport = map[string][]string{
	".":                           {"internal/cli", "launch"},
	"profile":                     {},
	"mounts":                      {"profile"},
	"limits":                      {"profile"},
	"launch":                      {"profile", "mounts", "limits", "internal/seccomp", "internal/boxinit", "internal/vt", "internal/session", "internal/cgroup", "internal/workspace", "internal/capture"},
	"internal/capture":            {},
	"internal/workspace":          {"profile", "internal/audit", "internal/workspace/textdiff"},
	"internal/workspace/textdiff": {},
	"internal/egress":             {"profile", "internal/audit", "internal/capture", "internal/egress/hello", "internal/egress/socks", "internal/egress/route", "internal/egress/authority", "internal/egress/credential", "internal/egress/scrub", "internal/egress/meter"},
	"internal/egress/route":       {},
	"internal/egress/authority":   {},
	"internal/egress/scrub":       {},
	"internal/egress/meter":       {},
	"internal/egress/credential":  {"profile", "internal/secret", "internal/egress/route"},
	"internal/egress/hello":       {},
	"internal/egress/socks":       {},
	"internal/registry":           {},
	"internal/outside":            {},
	"internal/secret":             {"internal/outside"},
	"internal/archive":            {"profile", "internal/outside", "internal/secret"},
	"internal/agents":             {},
	"internal/permission":         {"profile"},
	"internal/hook":               {"profile", "internal/permission", "internal/hook/shell"},
	"internal/hook/shell":         {},
	"internal/hook/gate":          {"internal/pidfd"},
	"internal/hook/script":        {"internal/outside"},
	"internal/pidfd":              {},
	"internal/programs":           {"internal/pidfd"},
	"internal/scaffold":           {"profile", "mounts", "internal/workspace"},
	"internal/audit":              {},
	"internal/escape":             {},
	"internal/report":             {"internal/audit", "internal/escape"},
	"internal/evidence":           {},
	"internal/processes":          {"internal/audit", "internal/escape"},
	"internal/cgroup":             {"limits"},
	"internal/seccomp":            {},
	"internal/boxinit":            {},
	"internal/vt":                 {},
	"internal/session":            {},
	"internal/doctor":             {"profile", "launch", "limits", "internal/cgroup", "internal/workspace"},
	"internal/boxtest":            {},
	"internal/boxtest/browser":    {},
	"internal/boxtest/world":      {"internal/boxtest"},
	"internal/boxtest/vm":         {"internal/boxtest", "internal/boxtest/vm/wire"},
	"internal/boxtest/vm/wire":    {},
	"internal/bench":              {},
	"internal/e2e":                {"internal/boxtest", "internal/boxtest/vm", "internal/boxtest/world"},
	"internal/cli":                {"profile", "internal/agents", "mounts", "limits", "launch", "internal/seccomp", "internal/session", "internal/doctor", "internal/audit", "internal/workspace", "internal/capture", "internal/egress", "internal/egress/route", "internal/egress/authority", "internal/egress/credential", "internal/egress/meter", "internal/registry", "internal/secret", "internal/permission", "internal/hook", "internal/hook/gate", "internal/hook/script", "internal/programs", "internal/scaffold", "internal/boxinit", "internal/escape", "internal/report", "internal/archive", "internal/outside", "internal/evidence", "internal/processes", "internal/cgroup"},
}

// engine are the packages of libcontainer that only launch imports; mounts and limits may use its values.
var engine = map[string][]string{
	"github.com/opencontainers/runc/libcontainer":         {"launch"},
	"github.com/opencontainers/runc/libcontainer/nsenter": {"launch"},
	"github.com/opencontainers/runc/libcontainer/configs": {"launch", "mounts", "limits"},
	"github.com/urfave/cli/v2":                            {"internal/cli"},
	"github.com/fatih/color":                              {"internal/cli"},
	"github.com/BurntSushi/toml":                          {"profile", "internal/cli", "internal/registry"},
}

const module = "agentbox/"

// A sourceCode is one file of this module that is not a test.
type sourceCode struct {
	dir, name string
	file      *ast.File
	set       *token.FileSet
}

// sources parses the module. Directories called testdata hold programs of their own.
func sources(t *testing.T) []sourceCode {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []sourceCode
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		out = append(out, sourceCode{dir: filepath.ToSlash(dir), name: d.Name(), file: file, set: set})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, src := range sources(t) {
		allowed, known := mayImport[src.dir]
		if !known {
			t.Errorf("package %s is not in the table", src.dir)
			continue
		}
		for _, spec := range src.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(path, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s/%s imports %s, which the table does not allow", src.dir, src.name, ours)
			}
			if users, ok := engine[path]; ok && !slices.Contains(users, src.dir) {
				t.Errorf("%s/%s imports %s, which is for %s", src.dir, src.name, path, strings.Join(users, " and "))
			}
		}
	}
}

// forbidden are the calls and variables that belong to a few packages; "" stands for the built-in functions.
var forbidden = map[string]map[string][]string{
	"os":  {"Exit": {".", "internal/bench"}, "Stdout": {".", "internal/bench"}, "Stderr": {".", "internal/bench", "internal/boxtest"}},
	"fmt": {"Print": {"internal/bench"}, "Printf": {"internal/bench"}, "Println": {"internal/bench"}},
	"log": {"Fatal": {}, "Fatalf": {}, "Fatalln": {}, "Print": {}, "Printf": {}, "Println": {}, "Panic": {}, "Panicf": {}},
	"":    {"panic": {}, "print": {}, "println": {}},
}

func TestOnlyCliPrintsAndOnlyMainExits(t *testing.T) {
	for _, src := range sources(t) {
		ast.Inspect(src.file, func(n ast.Node) bool {
			pkg, name := "", ""
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil {
					pkg, name = x.Name, n.Sel.Name
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok {
					name = f.Name
				}
			}
			if users, ok := forbidden[pkg][name]; ok && !slices.Contains(users, src.dir) {
				t.Errorf("%s: %s is not for package %s", src.set.Position(n.Pos()), strings.TrimPrefix(pkg+"."+name, "."), src.dir)
			}
			return true
		})
	}
}

func TestOnlyVoiceWrites(t *testing.T) {
	for _, src := range sources(t) {
		if src.dir != "internal/cli" || src.name == "voice.go" {
			continue
		}
		ast.Inspect(src.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(sel.Sel.Name, "Fprint") || len(call.Args) == 0 {
				return true
			}
			if arg, ok := call.Args[0].(*ast.UnaryExpr); !ok || arg.Op != token.AND { // a strings.Builder of its own
				t.Errorf("%s: %s outside voice.go", src.set.Position(n.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}

func TestNoInitAndEveryPackageHasAContract(t *testing.T) {
	documented := map[string]bool{}
	for _, src := range sources(t) {
		documented[src.dir] = documented[src.dir] || src.file.Doc != nil
		for _, decl := range src.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init runs in every process, the box's first one too", src.set.Position(f.Pos()))
			}
		}
	}
	var without []string
	for dir, ok := range documented {
		if !ok {
			without = append(without, dir)
		}
	}
	if diff := cmp.Diff([]string(nil), without); diff != "" {
		t.Errorf("packages without a package comment: %s", diff)
	}
}
