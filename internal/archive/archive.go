// Package archive copies closed audit logs to another place.
//
// What it promises. A file is on the way at least once, and in the archive once: under its name, whole, with the SHA-256 that it
// has here. A pass that was killed at any moment is gone on with by the next one, which asks the archive first. What has
// another content there is an error, and is never overwritten. A file that changes while it is sent is not sent to its
// end. What was taken is in a ledger beside the logs, on disk before anybody hears of it. One pass at a time works in a
// directory. A token is shown to the server that the profile names and to no other, and is in no error.
//
// What it does not: it removes nothing, here or there. It believes the archive: a server or a program that says that it has
// a file, and has not, is not found out. Of a program only itself can know what it has taken. A server that neither answers
// questions nor knows If-None-Match can overwrite; S3 and HTTP servers that know neither are not archives.
//
// The list of files comes from the caller. How they came about is not this package's matter.
package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A File is a closed log: nobody writes to it any more.
type File struct {
	Name, Path string
	Unpacked   bool // there only is its plain form, or that as well, which is the one that counts; it is not sent
}

// isClosed knows the name that the log's writer gives a part that it has closed: SESSION.000001.jsonl.zst. It is safe in a
// URL and as a file's.
func isClosed(name string) bool {
	parts := strings.Split(name, ".")
	return len(parts) == 4 && len(parts[0]) <= 64 && made(parts[0], letters+digits+"_-") && parts[0][0] != '-' &&
		len(parts[1]) == 6 && made(parts[1], digits) && parts[2] == "jsonl" && parts[3] == "zst"
}

// packedEnd is what a compressed log's name has behind the plain one's.
const packedEnd = ".zst"

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// made reports whether a text has characters of one kind, and no others.
func made(text, of string) bool { return text != "" && strings.Trim(text, of) == "" }

// Closed lists the closed logs of a directory, by the names that they have compressed. A directory that does not exist has none.
func Closed(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries { // a plain form stands before the compressed one
		name := e.Name()
		plain := isClosed(name + packedEnd)
		if plain {
			name += packedEnd
		}
		if !e.Type().IsRegular() || !isClosed(name) || len(files) > 0 && files[len(files)-1].Name == name {
			continue
		}
		files = append(files, File{Name: name, Path: filepath.Join(dir, name), Unpacked: plain})
	}
	return files, nil
}

// An Outcome is what became of one file.
type Outcome string

// The outcomes of a pass.
const (
	Sent    Outcome = "shipped" // it was sent, and taken
	There   Outcome = "there"   // the archive had it, by a pass that could not note it
	Known   Outcome = "known"   // the ledger says that it was taken
	Failed  Outcome = "failed"
	Untried Outcome = "untried" // a failure before it would have been its failure, too
)

// An Item is one file of a pass.
type Item struct {
	Name    string
	Size    int64
	SHA256  string // empty of one that was not read
	Outcome Outcome
	Err     error
}

// A Progress is how far a pass is. Of a file that is decided about, Item.Outcome is set.
type Progress struct {
	Index, Count int // of the file, from 1
	Sent         int64
	Item         Item
}

// ErrBusy is that another pass works in the directory.
var ErrBusy = errors.New("another agentbox is copying the logs of this directory to an archive")

// errOther is that a name is taken.
var errOther = errors.New("the archive has another content under this name; it was not overwritten")

// errUnpacked is that a log is closed and has not the form in which it is kept.
var errUnpacked = errors.New("it is not compressed yet; that is done by a run, by this command, or by its own session while that lasts")

// Ship copies files to the archive that are not there, one after the other, and says what became of each. It returns an
// error when the pass could not begin or was cut off; items of files that failed have theirs. report may be nil.
func Ship(ctx context.Context, dir string, files []File, to *Destination, report func(Progress)) ([]Item, error) {
	if len(files) == 0 {
		return nil, nil
	}
	l, err := openLedger(dir)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if report == nil {
		report = func(Progress) {}
	}
	l.step = to.step
	p := pass{ledger: l, to: to}
	items := make([]Item, 0, len(files))
	for i, f := range files {
		item := Item{Name: f.Name, Outcome: Untried}
		if err == nil {
			p.progress = func(item Item, sent int64) { report(Progress{Index: i + 1, Count: len(files), Sent: sent, Item: item}) }
			item = p.file(ctx, f)
			err = ends(ctx, item.Err)
			p.progress(item, item.Size)
		}
		items = append(items, item)
	}
	return items, context.Cause(ctx)
}

// ends is the failure after which no other file is tried.
func ends(ctx context.Context, err error) error {
	var e *Error
	if ctx.Err() != nil || errors.As(err, &e) && e.all {
		return err
	}
	return nil
}

// A pass goes through the files of one directory.
type pass struct {
	ledger   *ledger
	to       *Destination
	progress func(Item, int64)
}

func (p *pass) file(ctx context.Context, f File) Item {
	item := Item{Name: f.Name, Outcome: Failed}
	if item.Err = context.Cause(ctx); item.Err != nil {
		item.Outcome = Untried
		return item
	}
	if !isClosed(f.Name) {
		item.Err = fmt.Errorf("%q is not the name of a closed log", f.Name)
		return item
	}
	if f.Unpacked {
		item.Err = errUnpacked
		return item
	}
	o, err := openObject(f)
	if err != nil {
		item.Err = err
		return item
	}
	defer o.file.Close()
	item.Size = o.size
	o.step = p.to.step
	o.sending = func(sent int64) { p.progress(Item{Name: f.Name, Size: o.size}, sent) }
	item.Outcome, item.Err = p.decide(ctx, o)
	item.SHA256 = o.sum
	return item
}

// decide ships a file that the ledger does not have, and notes it.
func (p *pass) decide(ctx context.Context, o *object) (Outcome, error) {
	to := p.to.String()
	noted := p.ledger.read(o.name)
	e := noted.entry(to)
	if e.Time != nil && noted.unchanged(o) {
		o.sum = noted.SHA256
		return Known, nil
	}
	if err := o.hash(ctx); err != nil {
		return Failed, err
	}
	same, taken := noted.is(o), noted.taken()
	switch {
	case taken.Time != nil && !same:
		return Failed, &Error{Err: fmt.Errorf("it is not what was shipped on %s, whose SHA-256 is %s: it was changed here since", taken.Time.Format("2006-01-02"), noted.SHA256),
			Hint: taken.Destination + " has what it was; look who changed this one"}
	case e.Time != nil: // another inode, such as one from a backup
		return Known, p.ledger.write(noted.with(o, e))
	}
	o.at("begin")
	if o.retry = e.Begun != nil && same; !o.retry {
		e.Begun = now()
		noted = noted.with(o, e)
		if err := p.ledger.write(noted); err != nil {
			return Failed, err
		}
	}
	o.at("begun")
	outcome, err := p.to.deliver(ctx, o)
	if err != nil {
		return Failed, err
	}
	o.at("taken")
	e.Time = now()
	if err := p.ledger.write(noted.with(o, e)); err != nil {
		return Failed, fmt.Errorf("the archive has it, and that cannot be noted: %w", err)
	}
	o.at("noted")
	return outcome, nil
}

// Shipped answers whether a file of a directory is in the archive that destination, a [Destination]'s String, names: the ledger
// says so, and the file is still what was shipped. It is for who removes logs. When in doubt the answer is no.
func Shipped(dir, destination string) func(name string) bool {
	return func(name string) bool {
		if !isClosed(name) || destination == "" || !trusted(filepath.Join(dir, ledgerDir)) {
			return false
		}
		noted := readRecord(filepath.Join(dir, ledgerDir, name+".json"), name)
		if noted.entry(destination).Time == nil {
			return false
		}
		o, err := openObject(File{Name: name, Path: filepath.Join(dir, name)})
		if err != nil {
			return false
		}
		defer o.file.Close()
		return o.hash(context.Background()) == nil && noted.is(o)
	}
}

// Pending says which files a pass would look at: all that the ledger does not have as they are. It asks nobody.
func Pending(dir string, files []File, to *Destination) []Item {
	items := make([]Item, 0, len(files))
	for _, f := range files {
		item := Item{Name: f.Name, Outcome: Untried}
		if f.Unpacked {
			f.Path = strings.TrimSuffix(f.Path, packedEnd)
		}
		if o, err := openObject(f); err != nil {
			item.Outcome, item.Err = Failed, err
		} else {
			noted := readRecord(filepath.Join(dir, ledgerDir, f.Name+".json"), f.Name)
			if item.Size = o.size; !f.Unpacked && noted.entry(to.String()).Time != nil && noted.unchanged(o) {
				item.Outcome, item.SHA256 = Known, noted.SHA256
			}
			o.file.Close()
		}
		items = append(items, item)
	}
	return items
}
