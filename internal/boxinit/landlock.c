#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The numbers are the same on every architecture; older headers lack them. */
#define NR_CREATE_RULESET 444
#define NR_ADD_RULE 445
#define NR_RESTRICT_SELF 446
#define RULE_PATH_BENEATH 1

struct path_beneath {
	__u64 allowed_access;
	__s32 parent_fd;
} __attribute__((packed));

/* Rights that only make sense for what lies below a directory; the kernel refuses them on a file. */
#define FILE_RIGHTS ((1ULL << 0) | (1ULL << 1) | (1ULL << 2) | (1ULL << 14) | (1ULL << 15))

void landlock_enter(struct report *r, const struct instructions *in)
{
	r->step = STEP_LANDLOCK;
	if (!in->landlock)
		return; /* the kernel lacks it or the profile lets it go; launch says so */
	int set = syscall(NR_CREATE_RULESET, in->landlock, sizeof *in->landlock, 0);
	if (set < 0)
		die(r, errno);
	for (size_t i = 0; i < in->rules.len; i++) {
		const struct rule *rule = in->rules.items[i];
		struct path_beneath beneath = { rule->access, -1 };
		struct stat st;

		r->detail = rule->path;
		beneath.parent_fd = open(rule->path, O_PATH | O_CLOEXEC);
		if (beneath.parent_fd < 0 || fstat(beneath.parent_fd, &st) < 0)
			die(r, errno);
		if (!S_ISDIR(st.st_mode))
			beneath.allowed_access &= FILE_RIGHTS;
		if (syscall(NR_ADD_RULE, set, RULE_PATH_BENEATH, &beneath, 0) < 0)
			die(r, errno);
		close(beneath.parent_fd);
	}
	r->detail = NULL;
	if (syscall(NR_RESTRICT_SELF, set, 0) < 0)
		die(r, errno);
	close(set);
}
