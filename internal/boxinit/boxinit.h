#ifndef AGENTBOX_BOXINIT_H
#define AGENTBOX_BOXINIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The descriptors libcontainer hands us, in the order of Process.ExtraFiles. */
#define FD_CONTROL 3
#define FD_INSTRUCTIONS 4

/* Steps, in the order they run. internal/boxinit/step.go names each one's layer: keep both lists equal. */
enum step {
	STEP_INSTRUCTIONS = 1,
	STEP_PROTECT,
	STEP_MOUNTS,
	STEP_OVERLAY,
	STEP_HOME,
	STEP_FORK,
	STEP_GROUP,
	STEP_TERMINAL,
	STEP_STREAMS,
	STEP_USERNS,
	STEP_BOUNDING,
	STEP_IDS,
	STEP_CAPS,
	STEP_LIMITS,
	STEP_CWD,
	STEP_NNP,
	STEP_LANDLOCK,
	STEP_DESCRIPTORS,
	STEP_SECCOMP,
	STEP_PROGRAMS,
	STEP_EXEC,
};

enum tag {
	TAG_ARG = 1,
	TAG_ENV,
	TAG_CWD,
	TAG_IDS,
	TAG_LANDLOCK,
	TAG_LANDLOCK_RULE,
	TAG_AGENT_FILTER,
	TAG_INIT_FILTER,
	TAG_NODE,
	TAG_DIR,
	TAG_MOUNT,
	TAG_GROUP,
	TAG_RLIMIT,
	TAG_AFFINITY,
	TAG_MASK,
	TAG_NETWORK,
	TAG_SOCKET,
	TAG_SEED,
	TAG_END,
};

enum flag {
	FLAG_NESTED = 1,      /* the agent gets a user namespace of its own below the box's */
	FLAG_INNER_ROOT = 2,  /* and that one maps its root to the box's id 1 */
	FLAG_TERMINAL = 4,
	FLAG_DIE_WITH_PARENT = 8,
	FLAG_HELD = 16,     /* the agent waits until the supervisor lets it start */
	FLAG_PROGRAMS = 32, /* its filter asks the supervisor about each program */
};

/* What goes over the control socket, one datagram each way. */
enum event { EVENT_FAILED = 1, EVENT_RUNNING, EVENT_STOPPED, EVENT_CONTINUED, EVENT_EXITED, EVENT_FORKED, EVENT_SHARED, EVENT_LISTENER };

#define DETAIL_SIZE 240

struct message {
	uint32_t kind;
	uint32_t step;
	int32_t value;
	char detail[DETAIL_SIZE]; /* the path that a failed step was about */
};

struct command {
	uint32_t signal; /* 0: the agent may start */
	uint32_t to;
};

enum target { TO_AGENT, TO_GROUP, TO_ALL }; /* of a signal: the agent, its process group, every process but PID 1 */

struct ids {
	uint32_t uid, gid;             /* of the agent, as the agent sees them */
	uint32_t outer_uid, outer_gid; /* the same in the box's user namespace */
	uint32_t flags;
	uint32_t umask;
};

struct landlock_attr {
	uint64_t fs, net, scoped;
};

enum mount_kind {
	MOUNT_HOST = 1, /* a path below the host's root */
	MOUNT_BOX,      /* a path of the box itself, with its id mapping */
	MOUNT_TMPFS,
	MOUNT_COVER, /* hides the target behind an empty file or directory without permissions */
	MOUNT_FD,    /* an inherited detached mount */
	MOUNT_OVERLAY,
	MOUNT_SHARED, /* a tmpfs whose root the supervisor gets, and fills */
};

struct mount {
	uint32_t kind;
	uint32_t create; /* the target may have to be made: it lies on a tmpfs of the box */
	uint32_t fd, pad;
	uint64_t set, clear; /* MOUNT_ATTR_ bits of mount_setattr(2) */
	uint64_t dev, ino;   /* the file that the source must be; 0: whatever is there */
	char texts[];        /* source, target and filesystem options, each with its NUL */
};

enum node_kind { NODE_DIR = 1, NODE_FILE, NODE_LINK, NODE_WHITEOUT };

struct node {
	uint32_t kind, mode;
	uint32_t path_len, content_len; /* without the NUL that ends each */
	char texts[];                   /* path; then what the file holds, where the link leads, or a directory's time */
};

struct limit {
	uint32_t resource, pad; /* RLIMIT_ number */
	uint64_t value;
};

struct rule {
	uint64_t access;
	char path[];
};

struct dir {
	uint32_t mode, uid, gid, pad;
	char path[];
};

/* A socket that the supervisor wants of the box's network namespace; see socket(2). */
struct socket_wanted {
	uint32_t family, type, protocol, pad;
	char path[]; /* of AF_UNIX; otherwise empty */
};

/* When they are made: those without a path before anything else; then those of the box's root, which nobody can write to
 * later; and those on what is mounted. */
enum socket_stage { sockets_unbound, sockets_of_root, sockets_on_mounts };

struct list {
	void **items;
	size_t len, cap;
};

struct filter {
	const void *code;
	size_t bytes;
};

struct instructions {
	struct list argv, env, rules, nodes, masks, dirs, mounts, groups, limits, sockets, seeds;
	const char *cwd;
	const struct ids *ids;
	const struct landlock_attr *landlock;
	const uint32_t *network; /* the descriptor of the channel that sockets go over; NULL: there is none */
	struct filter agent, init;
	struct filter affinity; /* a mask for sched_setaffinity(2) */
};

/* Where a failed step is reported; each side of the fork has its own. */
struct report {
	int fd;
	enum step step;
	const char *detail;
};

void die(struct report *r, int err) __attribute__((noreturn));
void instructions_read(struct report *r, struct instructions *in);
int filter_load(struct report *r, const struct filter *f, unsigned int flags);
void send_with(int to, struct message *m, int fd);
void landlock_enter(struct report *r, const struct instructions *in);
void become_agent(struct report *r, const struct instructions *in) __attribute__((noreturn));
void take_limits(struct report *r, const struct instructions *in);
void join_groups(struct report *r, const struct instructions *in);
void box_root(struct report *r, const struct instructions *in);
void box_mounts(struct report *r, const struct instructions *in);
void overlay_masks(struct report *r, const struct instructions *in);
void overlay_mount(struct report *r, const struct instructions *in, int on, const char *data);
void box_directories(struct report *r, const struct instructions *in);
void box_seeds(struct report *r, const struct instructions *in);
void share(struct report *r, int fd);
void network_sockets(const struct instructions *in, enum socket_stage stage);
int network_request(int channel);
void hook(void) __attribute__((noreturn));
void pid1(struct report *r, const struct instructions *in) __attribute__((noreturn));

#endif
