package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentbox/internal/session"
	"agentbox/internal/workspace"
)

// changesArgs tells the ID of a session from paths. What names a session is an ID, unless it names a file as well.
func (c *caller) changesArgs(args []string) (id string, paths []string, err error) {
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			return "", nil, &usageError{msg: fmt.Sprintf("%q comes too late", arg), hint: "options go before the arguments; a path may begin with ./"}
		}
		if arg == "" {
			return "", nil, &usageError{msg: "an argument is empty", hint: "leave it out"}
		}
	}
	if len(args) == 0 || strings.Contains(args[0], "/") || !c.namesSession(args[0]) {
		return "", args, nil
	}
	if _, err := os.Lstat(args[0]); err == nil && !session.ValidID(args[0]) {
		return "", nil, &usageError{msg: fmt.Sprintf("%q may be a session and a file", args[0]),
			hint: fmt.Sprintf("write ./%s for the file, or more of the ID", args[0])}
	}
	return args[0], args[1:], nil
}

// namesSession reports whether a word is, or begins, the ID of a session on record.
func (c *caller) namesSession(word string) bool {
	if session.ValidID(word) {
		return true
	}
	root, err := recordsDir()
	if err != nil {
		return false
	}
	names, err := os.ReadDir(root)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(names, func(e os.DirEntry) bool {
		return session.ValidID(e.Name()) && strings.HasPrefix(e.Name(), strings.ToLower(word))
	})
}

// inWorkspace gives a path of the command line as the workspace has it: relative to its root, "." for all of it. No
// link in the workspace is followed.
func inWorkspace(arg, dir, root string) (string, error) {
	path := arg
	if !filepath.IsAbs(path) {
		if !inside(dir, root) {
			dir = root
		}
		path = filepath.Join(dir, path)
	}
	path = filepath.Clean(path)
	if !inside(path, root) { // named through a link that leads to the workspace
		path = filepath.Join(resolve(filepath.Dir(path)), filepath.Base(path))
	}
	if !inside(path, root) {
		return "", &usageError{msg: fmt.Sprintf("%s is not in %s", arg, root), hint: "a path is relative to the current directory"}
	}
	return filepath.Rel(root, path)
}

// pathOf is inWorkspace, or a path of the git directory that lies outside and was changed, too.
func pathOf(arg, dir, root string, r *workspace.Review) (string, error) {
	if path := filepath.Clean(arg); filepath.IsAbs(path) && !inside(path, root) &&
		slices.ContainsFunc(r.Changes, func(one workspace.Change) bool { return covers(path, &one) }) {
		return path, nil
	}
	return inWorkspace(arg, dir, root)
}

// covers reports whether a path of the command line means a change.
func covers(path string, ch *workspace.Change) bool {
	below := func(name string) bool {
		return path == "." || name == path || strings.HasPrefix(name, path+"/")
	}
	return below(ch.Path) || ch.From != "" && below(ch.From)
}

// choose is what the command line, or the person at the terminal, says is to be applied.
func (c *caller) choose(ctx context.Context, ch *changes, r *workspace.Review, o applyOptions) (workspace.Selection, error) {
	chosen, err := o.selection(r, ch.kept.Info.Workspace)
	if err != nil {
		return chosen, err
	}
	if !o.chosen() && !o.interactive {
		if chosen.All, o.interactive, err = c.askHow(ctx, ch, r); err != nil {
			return chosen, err
		}
	}
	if o.interactive {
		return c.pick(ctx, ch, r, chosen)
	}
	return chosen, nil
}

// selection is what the command line says.
func (o applyOptions) selection(r *workspace.Review, root string) (workspace.Selection, error) {
	s := workspace.Selection{All: o.all, AllowHandoff: o.allowHandoff, Resolve: map[string]workspace.Resolution{}}
	dir, err := os.Getwd()
	if err != nil {
		return s, err
	}
	dir = resolve(dir)
	for _, arg := range o.paths {
		path, err := pathOf(arg, dir, root, r)
		if err != nil {
			return s, err
		}
		if !slices.ContainsFunc(r.Changes, func(one workspace.Change) bool { return covers(path, &one) }) {
			return s, &plainError{err: fmt.Errorf("%s: nothing changed there", arg), hint: `"agentbox diff --name-only" lists what did`}
		}
		s.All = s.All || path == "."
		s.Paths = append(s.Paths, path)
	}
	for _, way := range []struct {
		flag string
		args []string
		how  workspace.Resolution
	}{{"theirs", o.theirs, workspace.TakeAgent}, {"ours", o.ours, workspace.KeepHost}, {"merge", o.merge, workspace.Merge}} {
		for _, arg := range way.args {
			path, err := pathOf(arg, dir, root, r)
			if err == nil {
				err = settle(&s, r, path, way.how)
			}
			if err != nil {
				return s, fmt.Errorf("--%s %s: %w", way.flag, arg, err)
			}
		}
	}
	return s, nil
}

// settle chooses the conflicts at and below a path, and the way out of them.
func settle(s *workspace.Selection, r *workspace.Review, path string, how workspace.Resolution) error {
	found := false
	for i := range r.Changes {
		one := &r.Changes[i]
		if one.Conflict == "" || !covers(path, one) {
			continue
		}
		if before, twice := s.Resolve[one.Path]; twice && before != how {
			return &usageError{msg: "there are two ways out of one conflict", hint: "give one of --theirs, --ours and --merge for a path"}
		}
		found, s.Resolve[one.Path] = true, how
	}
	if !found {
		return &plainError{err: errors.New("nothing there was changed by both sides"), hint: "choose it as a PATH"}
	}
	if path == "." {
		for name := range s.Resolve {
			s.Paths = append(s.Paths, name)
		}
		slices.Sort(s.Paths)
		return nil
	}
	s.Paths = append(s.Paths, path)
	return nil
}
