package cli

import (
	"fmt"
	"os"
	"slices"

	"agentbox/internal/session"
	"agentbox/internal/workspace"
)

// diffArgs is changesArgs, and lets "--" end what could be mistaken: behind it stand paths, before it at most an ID.
func (c *caller) diffArgs(o *diffOptions, args []string) (err error) {
	if at := len(c.args) - len(args) - 1; at >= 0 && c.args[at] == "--" { // which the library takes away where it comes first
		o.dashed, o.paths = true, args
		return wantPaths(args)
	}
	at := slices.Index(args, "--")
	switch {
	case at < 0:
		o.id, o.paths, err = c.changesArgs(args)
		return err
	case at > 1:
		return &usageError{msg: fmt.Sprintf("%q stands before --", args[1]), hint: "before -- there is at most an ID"}
	case !c.namesSession(args[0]):
		return &plainError{err: fmt.Errorf("%w: %s", session.ErrNotFound, args[0]), hint: `"agentbox ps --all" lists the sessions that have changes`}
	}
	o.dashed, o.id, o.paths = true, args[0], args[at+1:]
	return wantPaths(o.paths)
}

func wantPaths(paths []string) error {
	if slices.Contains(paths, "") {
		return &usageError{msg: "an argument is empty", hint: "leave it out"}
	}
	return nil
}

// narrow leaves the changes at and below the paths.
func (o diffOptions) narrow(r *workspace.Review, root string) (*workspace.Review, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir = resolve(dir)
	if err := o.onlyID(r, dir, root); err != nil {
		return nil, err
	}
	if len(o.paths) == 0 {
		return r, nil
	}
	wanted := make([]bool, len(r.Changes))
	for _, arg := range o.paths {
		path, err := pathOf(arg, dir, root, r)
		if err != nil {
			return nil, err
		}
		found := false
		for i := range r.Changes {
			if covers(path, &r.Changes[i]) {
				wanted[i], found = true, true
			}
		}
		if !found {
			return nil, o.nothingAt(arg)
		}
	}
	out := &workspace.Review{Notes: r.Notes}
	for i, is := range wanted {
		if is {
			out.Changes = append(out.Changes, r.Changes[i])
		}
	}
	return out, nil
}

// onlyID refuses the beginning of an ID that is also a path which the agent made: the caller may have meant that.
func (o diffOptions) onlyID(r *workspace.Review, dir, root string) error {
	if o.id == "" || o.dashed || session.ValidID(o.id) {
		return nil
	}
	path, err := inWorkspace(o.id, dir, root)
	if err != nil || !slices.ContainsFunc(r.Changes, func(one workspace.Change) bool { return covers(path, &one) }) {
		return nil
	}
	return &usageError{msg: fmt.Sprintf("%q may be a session and a path that changed", o.id),
		hint: fmt.Sprintf("write ./%s for the path, or more of the ID", o.id)}
}

func (o diffOptions) nothingAt(arg string) error {
	hint := `"agentbox diff --name-only" lists what did`
	if o.id == "" && !o.dashed && arg == o.paths[0] {
		if _, err := os.Lstat(arg); err != nil {
			return &plainError{err: fmt.Errorf("%s is no session, and nothing changed at such a path", arg), hint: hint + `, "agentbox ps --all" the sessions`}
		}
	}
	return &plainError{err: fmt.Errorf("%s: nothing changed there", arg), hint: hint}
}
