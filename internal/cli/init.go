package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/scaffold"
)

type initOptions struct {
	dir          string
	force, print bool
}

func newInit(c *caller) *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "look at a project and write a commented agentbox.toml for it", UsageText: "agentbox init [options] [DIR]",
		Description: "Looks at DIR (default: the working directory) for languages, lock files, CI, git remotes and files with secrets, runs\n" +
			"nothing of it, and writes what a profile for it would say. What would widen the box is a comment.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "replace an agentbox.toml that is there"},
			&cli.BoolFlag{Name: "print", Usage: "print it and write nothing"},
		},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			return initialize(initOptions{dir: ctx.Args().First(), force: ctx.Bool("force"), print: ctx.Bool("print")}, c)
		},
	}
}

func initialize(o initOptions, c *caller) error {
	if o.dir == "" {
		o.dir = "."
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return &plainError{err: err, hint: "name the directory of a project"}
	}
	defer root.Close()
	project, err := scaffold.Look(root)
	if err != nil {
		return err
	}
	text := scaffold.Write(project)
	if o.print {
		c.voice.script(string(text))
		return nil
	}
	if err := writeNew(root, text, o.force); err != nil {
		return err
	}
	full, err := filepath.Abs(filepath.Join(o.dir, projectFile))
	if err != nil {
		full = filepath.Join(o.dir, projectFile)
	}
	c.voice.notef("wrote %s", full)
	if project.Cut {
		c.voice.hint("the project is large, and not all of it was looked at")
	}
	c.voice.hint(`read it; what you take the "#" from may widen the box, and then holds after "agentbox trust"`)
	return nil
}

// writeNew writes the file as a whole or not at all, and through no link.
func writeNew(root *os.Root, text []byte, force bool) error {
	st, err := root.Lstat(projectFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return &plainError{err: err}
	case !st.Mode().IsRegular():
		return &plainError{err: fmt.Errorf("%s is there and no regular file", projectFile), hint: "remove it, or use --print"}
	case !force:
		return &plainError{err: fmt.Errorf("%s is there", projectFile), hint: "--force replaces it, --print shows what would be written; nothing was changed"}
	}
	part := fmt.Sprintf(".%s.%d", projectFile, os.Getpid())
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return &plainError{err: err, hint: "nothing was changed"}
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil && force {
		err = root.Rename(part, projectFile)
	} else if err == nil { // somebody else may have written one since
		err = root.Link(part, projectFile)
	}
	if err != nil || !force {
		_ = root.Remove(part)
	}
	if err != nil {
		return &plainError{err: err, hint: "nothing was changed"}
	}
	return nil
}
