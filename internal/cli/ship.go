package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"agentbox/internal/archive"
	"agentbox/internal/outside"
	"agentbox/internal/secret"
	"agentbox/internal/session"
	"agentbox/launch"
	"agentbox/profile"
)

// A shipment is what is to be copied to an archive, and whose things it needs.
type shipment struct {
	host      launch.Host
	workspace string
	dir       string   // of the logs
	to, token string   // as a profile has them
	key       string   // signs what is added to a log when it is closed
	ca        []string // files of authorities
}

// ship copies the closed logs of a directory that the profile's archive does not have, until the context is over. It says
// nothing where there is no archive, and waits for another pass, which may have begun before the last of them was there.
func (c *caller) ship(ctx context.Context, dir string, p policy) error {
	n, a := p.effective.Profile.Network, p.effective.Profile.Audit
	if a.Archive == "" {
		return nil
	}
	files, err := archive.Closed(dir)
	files = slices.DeleteFunc(files, func(f archive.File) bool { return f.Unpacked }) // for the next one
	if err != nil || len(files) == 0 {
		return err
	}
	s := shipment{host: p.host, workspace: p.workspace, dir: dir, to: a.Archive, token: a.ArchiveToken, ca: n.ExtraCA}
	to, done, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	var items []archive.Item
	send := func() (err error) {
		items, err = archive.Ship(ctx, dir, files, to, nil)
		return err
	}
	err = again(ctx, send(), archive.ErrBusy, send)
	for _, i := range items {
		if err == nil {
			err = i.Err
		}
	}
	if n := unshipped(items); n > 0 && err != nil {
		err = fmt.Errorf("%s not in %s yet: %w", counted(n, "closed log is", "closed logs are"), to, err)
	}
	if err != nil {
		return &plainError{err: err, hint: `"agentbox log archive" goes on with it`}
	}
	return nil
}

// shipped answers whether the profile's archive has a closed log as it is here, so that it may be removed. Nil is that the
// profile names no archive.
func shipped(dir string, a profile.Audit, home string) (func(name string) bool, error) {
	if a.Archive == "" {
		return nil, nil
	}
	to, err := archiveAt(a.Archive, home)
	if err != nil {
		return nil, err
	}
	return archive.Shipped(dir, to.String()), nil
}

// archiveAt is an archive whose paths are written in full, which is how the ledger names it.
func archiveAt(text, home string) (profile.Archive, error) {
	a, err := profile.ParseArchive(text)
	if err != nil {
		return a, fmt.Errorf("audit.archive %w", err)
	}
	switch a.Kind {
	case profile.ArchiveDir:
		a.Path = expandHome(a.Path, home, home)
	case profile.ArchiveCommand:
		a.Argv[0] = expandHome(a.Argv[0], home, home)
	}
	return a, nil
}

// open makes ready what files are sent with. The function that it returns forgets the token.
func (s shipment) open(ctx context.Context) (*archive.Destination, func(), error) {
	home := s.host.Files.Home
	a, err := archiveAt(s.to, home)
	if err != nil {
		return nil, nil, err
	}
	access := archive.Access{Place: outside.Place{Home: home, Workspace: s.project(), Path: filepath.SplitList(os.Getenv("PATH"))}}
	switch a.Kind {
	case profile.ArchiveDir:
		if inside(resolveLonger(a.Path), resolveLonger(s.dir)) {
			return nil, nil, fmt.Errorf("%s lies in the directory of the logs, %s", a.Path, s.dir)
		}
	case profile.ArchiveCommand:
		if err := ofNoProject(a.Argv[0], home); err != nil {
			return nil, nil, err
		}
	default:
		if access.Roots, err = s.roots(); err != nil {
			return nil, nil, err
		}
	}
	done := func() {}
	if s.token != "" && a.Authenticates() {
		if err := guardMemory(); err != nil {
			return nil, nil, err
		}
		reader := secret.Reader{Env: os.LookupEnv, Home: home, Workspace: s.project(), Path: access.Place.Path}
		if access.Token, err = reader.Open(ctx, s.token); err != nil {
			return nil, nil, fmt.Errorf("audit.archive_token: %w", err)
		}
		done = access.Token.Close
	}
	to, err := archive.New(a, access)
	if err != nil {
		done()
		return nil, nil, err
	}
	return to, done, nil
}

// project is the workspace, of which no program is run. A directory that holds the home can be none.
func (s shipment) project() string {
	if inside(resolve(s.host.Files.Home), s.workspace) {
		return ""
	}
	return s.workspace
}

// ofNoProject refuses a program that lies in the workspace of any session that is on record: an agent could have written it.
func ofNoProject(program, home string) error {
	root, err := recordsDir()
	if err != nil {
		return err
	}
	kept, err := session.Records(root)
	if err != nil && len(kept) == 0 && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	real := resolve(program)
	for _, k := range kept {
		if ws := k.Workspace; ws != "" && inside(real, ws) && !inside(resolve(home), ws) {
			return fmt.Errorf("%s lies in %s, where an agent could write", program, ws)
		}
	}
	return nil
}

// roots are the host's authorities and those of network.extra_ca; nil are the host's alone.
func (s shipment) roots() (*x509.CertPool, error) {
	if len(s.ca) == 0 {
		return nil, nil
	}
	text, err := s.host.Authorities(s.ca)
	if err != nil {
		return nil, err
	}
	return rootsWith(text)
}
