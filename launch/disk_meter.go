package launch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// A meter knows how much a directory of writes holds. Scanning it takes time in proportion, so most looks ask the file
// system alone: as long as that has lost, since the latest scan, less than half of what is left to the limit, whoever
// wrote it, the limit is not reached. A scan is made now and then all the same, and seldom where the file system has
// lost nothing: what one writes, another may delete.
type meter struct {
	limit   tally
	clock   func() time.Time
	count   func() (tally, error) // what the directory holds
	free    func() (tally, error) // what its file system has
	used    tally                 // at the latest scan; an upper bound where some of it was hidden
	left    tally                 // what the file system had then
	due     time.Time             // when the next scan is due if anything was lost
	latest  time.Time             // and when if not
	soonest time.Time             // when it may be made if it is urgent
}

// Between two looks. Near the limit there are more of them.
const (
	diskPeriod = 200 * time.Millisecond
	diskHaste  = 10 * time.Millisecond
)

// What a box may write in a second, more or less.
const (
	fastBytes  = 4 << 30
	fastInodes = 200_000
)

// Scans take a tenth of the time at most, a hundredth where nothing is written, and half while the rest may be used up.
const (
	restAfterScan   = 10
	restAfterUrgent = 1
	smallestRest    = 128 // of the limit: what is lost near it is looked into in such steps
)

// look reports whether the limit is passed, and when to look again.
func (m *meter) look() (passed bool, again time.Duration) {
	now := m.clock()
	free, ferr := m.free()
	taken := tally{bytes: minus(m.left.bytes, free.bytes), inodes: minus(m.left.inodes, free.inodes)}
	urgent := ferr != nil || taken.bytes >= m.step(m.limit.bytes, m.used.bytes) || taken.inodes >= m.step(m.limit.inodes, m.used.inodes)
	lost := ferr != nil || taken != tally{}
	if lost && !now.Before(m.due) || !now.Before(m.latest) || urgent && !now.Before(m.soonest) {
		sum, err := m.count()
		took := m.clock().Sub(now)
		if err != nil || sum.hidden { // what nobody sees is at most what is missing
			sum.bytes, sum.inodes = max(sum.bytes, m.used.bytes+taken.bytes), max(sum.inodes, m.used.inodes+taken.inodes)
		}
		m.used, m.left = sum, free
		m.due = now.Add(took + max(diskPeriod, restAfterScan*took))
		m.latest = now.Add(took + max(10*diskPeriod, 10*restAfterScan*took))
		m.soonest = now.Add(took + restAfterUrgent*took)
	}
	return m.used.bytes > m.limit.bytes || m.used.inodes > m.limit.inodes, m.wait()
}

// step is how much the file system may lose before that has to be looked into.
func (m *meter) step(limit, used uint64) uint64 { return max(minus(limit, used)/2, limit/smallestRest) }

// wait is how long the fastest of writers would need for what was left at the latest scan.
func (m *meter) wait() time.Duration {
	bytes := float64(minus(m.limit.bytes, m.used.bytes)) / fastBytes
	inodes := float64(minus(m.limit.inodes, m.used.inodes)) / fastInodes
	return min(max(time.Duration(min(bytes, inodes)*float64(time.Second)), diskHaste), diskPeriod)
}

// raise allows as much again.
func (m *meter) raise(by tally) {
	m.limit = tally{bytes: max(m.limit.bytes, m.used.bytes) + by.bytes, inodes: max(m.limit.inodes, m.used.inodes) + by.inodes}
}

func minus(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// newMeter makes the meter of a box's directory of writes.
func (b *Box) newMeter(upper, git *os.File, w limits.Writes) *meter {
	return &meter{
		limit: tally{bytes: w.Bytes, inodes: w.Inodes},
		clock: time.Now,
		free:  func() (tally, error) { return freeOn(upper) },
		count: func() (tally, error) {
			sum, err := scan(upper)
			if git != nil {
				more, gitErr := scan(git)
				sum.bytes, sum.inodes, sum.hidden = sum.bytes+more.bytes, sum.inodes+more.inodes, sum.hidden || more.hidden
				err = errors.Join(err, gitErr)
			}
			b.addUnlinked(&sum)
			return sum, err
		},
	}
}

// freeOn is what a file system has left for others than root.
func freeOn(f *os.File) (tally, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return tally{}, err
	}
	return tally{bytes: st.Bavail * uint64(st.Frsize), inodes: st.Ffree}, nil
}

func (t tally) String() string {
	return fmt.Sprintf("%s in %s files and directories", humanize.IBytes(t.bytes), humanize.Comma(int64(t.inodes)))
}
