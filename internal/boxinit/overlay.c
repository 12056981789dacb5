#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

extern int mount(const char *, const char *, const char *, unsigned long, const void *);
#define MS_NOSUID 2
#define MS_NODEV 4

/* On the stage; launch writes the same path into lowerdir=. */
#define MASKS "/.box/.box/masks"

static void make_mask(struct report *r, const struct instructions *in, const struct node *n)
{
	r->detail = n->texts;
	if (n->kind == NODE_WHITEOUT) {
		if (mknod(n->texts, S_IFCHR, 0) < 0)
			die(r, errno);
		return;
	}
	if (n->kind != NODE_DIR || n->content_len != sizeof(int64_t))
		die(r, EBADMSG);
	if (mkdir(n->texts, n->mode) < 0 || lchown(n->texts, in->ids->outer_uid, in->ids->outer_gid) < 0)
		die(r, errno);
}

static void set_time(struct report *r, const struct node *n)
{
	int64_t ns;

	if (n->kind != NODE_DIR)
		return;
	memcpy(&ns, n->texts + n->path_len + 1, sizeof ns);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { ns / 1000000000, ns % 1000000000 } };
	r->detail = n->texts;
	if (utimensat(AT_FDCWD, n->texts, times, 0) < 0)
		die(r, errno);
}

/*
 * A layer of whiteouts above the project: a name that it holds is not there, whatever the host puts under it while
 * the box runs. One mount for any number of names. What leads to a name looks as it does in the project, since it is
 * this layer's directory that the box sees.
 */
void overlay_masks(struct report *r, const struct instructions *in)
{
	if (!in->masks.len)
		return;
	r->step = STEP_OVERLAY;
	r->detail = MASKS;
	if (mkdir(MASKS, 0755) < 0 || mount("tmpfs", MASKS, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1g,nr_inodes=0") < 0)
		die(r, errno);
	if (chdir(MASKS) < 0)
		die(r, errno);
	for (size_t i = 0; i < in->masks.len; i++)
		make_mask(r, in, in->masks.items[i]);
	for (size_t i = in->masks.len; i-- > 0;)
		set_time(r, in->masks.items[i]);
	r->detail = "/";
	if (chdir("/") < 0)
		die(r, errno);
	r->step = STEP_MOUNTS;
}

/*
 * An overlay does its own work with the ids of whoever mounted it. They have to be the agent's: an idmapped mount knows
 * nobody else.
 */
void overlay_mount(struct report *r, const struct instructions *in, int on, const char *data)
{
	char path[32];
	int mounted, err;

	r->step = STEP_OVERLAY;
	snprintf(path, sizeof path, "/proc/self/fd/%d", on);
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
		die(r, errno);
	setfsgid(in->ids->outer_gid);
	setfsuid(in->ids->outer_uid);
	if ((uid_t)setfsuid(-1) != in->ids->outer_uid || (gid_t)setfsgid(-1) != in->ids->outer_gid)
		die(r, EPERM);
	mounted = mount("overlay", path, "overlay", MS_NOSUID | MS_NODEV, data);
	err = errno;
	setfsuid(0);
	setfsgid(0);
	if (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0)
		die(r, errno);
	if (mounted < 0)
		die(r, err);
	r->step = STEP_MOUNTS;
}
