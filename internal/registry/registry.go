// Package registry says which hosts the host's own npm, Go, pip and cargo are set to get packages from: what "@npm",
// "@go", "@pip" and "@cargo" stand for.
//
// It knows no registry by name. npm, go and pip are asked themselves; cargo, which has no command for it, has its own
// files read. What is asked is the person's configuration: programs are looked up outside the workspace and run
// outside it, and a configuration file that lies in the workspace, where the agent may write, is an error and not an
// answer. An answer that is not understood whole is an error too. Results hold hosts and ports, never the rest of a
// URL; errors name a setting and never quote its value.
//
// It says what is configured, not where that leads: a registry may link files on other hosts. npm keeps URLs with a
// password to itself, so a scope that has one is not among the results.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
)

// An Asker knows where the person's tools and their configuration are, and what is not theirs.
type Asker struct {
	Path      []string // directories to look programs up in, in order; relative ones and those in the workspace are skipped
	Workspace string   // nothing of it is run or believed
	Home      string   // the person's home, where the tools keep their configuration
	Env       []string // the caller's environment, of which a tool sees what configures it
	Dir       string   // the working directory of the programs, outside every workspace
}

// An Endpoint is where packages come from.
type Endpoint struct {
	Host string // a name in lower case or an address without brackets
	Port uint16
}

// A Result is what one word stands for. Where Err is set there are no endpoints.
type Result struct {
	Endpoints []Endpoint
	Err       error
}

// Endpoints returns what one of "@npm", "@go", "@pip" and "@cargo" stands for, sorted and without duplicates; there is
// at least one.
func (a Asker) Endpoints(ctx context.Context, name string) ([]Endpoint, error) {
	ask, known := map[string]func(context.Context) (endpoints, error){
		"@npm": a.npm, "@go": a.golang, "@pip": a.pip, "@cargo": a.cargo,
	}[name]
	if !known {
		return nil, fmt.Errorf("there is no %q", name)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	found, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	return found.sorted(), nil
}

// All asks for several words at once, each of which takes up to half a second.
func (a Asker) All(ctx context.Context, names []string) map[string]Result {
	results := make([]Result, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { results[i].Endpoints, results[i].Err = a.Endpoints(ctx, name) })
	}
	wg.Wait()
	all := make(map[string]Result, len(names))
	for i, name := range names {
		all[name] = results[i]
	}
	return all
}

// check says what makes every answer the agent's instead of the person's.
func (a Asker) check() error {
	switch {
	case !filepath.IsAbs(a.Home):
		return errors.New("the home directory is not known")
	case !filepath.IsAbs(a.Dir):
		return errors.New("there is no directory to run programs in")
	case a.Workspace != "" && !filepath.IsAbs(a.Workspace):
		return errors.New("the workspace is not an absolute path")
	case a.inside(a.Home):
		return errors.New("the home directory, which holds the configuration, is inside the workspace")
	case a.inside(a.Dir):
		return errors.New("the directory to run programs in is inside the workspace")
	}
	return nil
}

// own says what is wrong with a configuration file or directory that the person's is said to be. One that does not
// exist is nobody's.
func (a Asker) own(path string) error {
	if filepath.IsAbs(path) && a.inside(path) {
		return fmt.Errorf("the configuration %s is inside the workspace", printable(path))
	}
	return nil
}

// inside reports a path that is in the workspace, by its name or by where its links lead.
func (a Asker) inside(path string) bool {
	if a.Workspace == "" {
		return false
	}
	for _, workspace := range []string{a.Workspace, resolved(a.Workspace)} {
		for _, p := range []string{path, resolved(path)} {
			if rel, err := filepath.Rel(workspace, p); err != nil || filepath.IsLocal(rel) {
				return true
			}
		}
	}
	return false
}

// resolved follows the links of the part of a path that exists.
func resolved(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	return filepath.Join(resolved(dir), filepath.Base(path))
}

// endpoints is a set.
type endpoints map[Endpoint]bool

func (s endpoints) sorted() []Endpoint {
	list := make([]Endpoint, 0, len(s))
	for e := range s {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return list
}
