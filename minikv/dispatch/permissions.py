# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: extra_compile_args = -O3
"""What a user needs in order to run a command: the command itself, its keys, its channels.

Asked for each command of a client whose user is restricted, and for no other. The rules are those of Redis 7.0: a
selector must allow all; if none does, the refusal with the largest reason is reported, and of those the one whose
argument stands furthest to the right. The arity need not be right: DRYRUN's is, a script's question may be anything.
"""

import cython
from cython.cimports.cpython.object import PyObject
from cython.cimports.minikv.acl.user import Selector, User
from cython.cimports.minikv.dispatch.argv import Argv
from cython.cimports.minikv.dispatch.spec import NO_AUTH

from minikv.acl.user import ACCESS_READ, ACCESS_WRITE, ALLOWED, DENIED_CHANNEL, DENIED_COMMAND, DENIED_KEY
from minikv.dispatch.keys import VARIABLE_FLAGS, key_flags, places_checked, real_specs

# Requirements.channels
NO_CHANNELS = cython.declare(cython.int, 0)
CHANNELS = cython.declare(cython.int, 1)
CHANNEL_PATTERNS = cython.declare(cython.int, 2)
ONE_CHANNEL = cython.declare(cython.int, 3)
CHANNELS_OF = {"SUBSCRIBE": 1, "SSUBSCRIBE": 1, "PSUBSCRIBE": 2, "PUBLISH": 3, "SPUBLISH": 3}

C_ALLOWED = cython.declare(cython.long, ALLOWED)
C_DENIED_COMMAND = cython.declare(cython.long, DENIED_COMMAND)
C_DENIED_KEY = cython.declare(cython.long, DENIED_KEY)
C_DENIED_CHANNEL = cython.declare(cython.long, DENIED_CHANNEL)

READ_FLAGS = frozenset({"access"})
WRITE_FLAGS = frozenset({"insert", "delete", "update"})
# Keys whose place or flags only a function of keys.py knows.
BY_FUNCTION = frozenset({"SORT", "MIGRATE"})


def access_of(flags: object) -> cython.int:
    """What is done to a key, by the flags of its specification; 0 if its value does not matter (EXISTS)."""
    return ACCESS_READ * bool(READ_FLAGS.intersection(flags)) | ACCESS_WRITE * bool(WRITE_FLAGS.intersection(flags))


@cython.cclass
class Requirements:
    """What one command requires. number: the command's in minikv.acl.catalog.

    A check's result is ALLOWED, or the reason with the place of the refused argument above its lowest two bits.
    """

    def __init__(self, spec: object, number: cython.int):
        self.spec = spec
        self.number = number
        self.always = spec.flags & NO_AUTH != 0
        self.channels = CHANNELS_OF.get(spec.name, 0)
        specs = real_specs(spec)
        self.has_keys = bool(specs)
        self.decides = spec.name in VARIABLE_FLAGS
        self.is_plain = False
        if len(specs) != 1 or spec.name in BY_FUNCTION:
            return
        begin, find = specs[0].begin, specs[0].find
        if begin[0] == "index" and find[0] == "range" and not find[3] and find[2] > 0:
            self.is_plain = True
            self.first = begin[1]
            self.last = self.first + find[1] if find[1] >= 0 else find[1]
            self.step = find[2]
            decide = VARIABLE_FLAGS.get(spec.name)
            self.access = access_of(key_flags(specs[0]) if decide is None else decide([b""] * 3))

    def refusal(self, user: User, request: object) -> tuple:
        """The reason and the place for a request given as a sequence; (ALLOWED, 0) if the user may."""
        found: cython.long = self.check_request(user, request)
        return found & 3, found >> 2

    def has_unrestricted_keys(self, user: User, request: object, access: cython.int) -> bool:
        """Whether one selector allows the request and this access to all keys there are: SORT by other keys."""
        selector: Selector
        for selector in user.selectors:
            if self.check_request(user, request, selector) == C_ALLOWED and selector.allows_all_keys(access):
                return True
        return False

    def check_request(self, user: User, request: object, selector: Selector = None) -> cython.long:
        """A request given as a sequence; by one selector, if there is one."""
        words: Argv = Argv(request)
        if selector is not None:
            return self.check_selector(selector, words.words, words.count)
        return self.check(user, words.words, words.count)

    def check(self, user: User, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t) -> cython.long:
        """Whether a user may run a request."""
        worst: cython.long = C_DENIED_COMMAND
        selector: Selector
        for selector in user.selectors:
            found: cython.long = self.check_selector(selector, argv, argc)
            if found == C_ALLOWED:
                return C_ALLOWED
            if found & 3 > worst & 3 or (found & 3 == worst & 3 and found > worst):
                worst = found
        return worst

    def check_selector(
        self, selector: Selector, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t
    ) -> cython.long:
        if not self.always:
            first_arg = cython.cast(bytes, argv[1]) if argc > 1 else None
            if not selector.allows_command(self.number, first_arg):
                return C_DENIED_COMMAND
        if self.has_keys and not selector.all_keys:
            found: cython.long = self.check_keys(selector, argv, argc)
            if found != C_ALLOWED:
                return found
        if self.channels != NO_CHANNELS and not selector.all_channels:
            return self.check_channels(selector, argv, argc)
        return C_ALLOWED

    def check_keys(
        self, selector: Selector, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t
    ) -> cython.long:
        place: cython.Py_ssize_t
        if not self.is_plain:
            for place, flags in places_checked(self.spec, request_list(argv, argc)):
                if place < argc and not selector.allows_key(cython.cast(bytes, argv[place]), access_of(flags)):
                    return C_DENIED_KEY | place << 2
            return C_ALLOWED
        access: cython.int = self.access
        if self.decides and argc != 3:  # `access` is that of three words
            access = access_of(VARIABLE_FLAGS[self.spec.name](request_list(argv, argc)))
        last: cython.Py_ssize_t = self.last if self.last >= 0 else argc + self.last
        if last >= argc:
            last = argc - 1
        place = self.first
        while place <= last:
            if not selector.allows_key(cython.cast(bytes, argv[place]), access):
                return C_DENIED_KEY | place << 2
            place += self.step
        return C_ALLOWED

    def check_channels(
        self, selector: Selector, argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t
    ) -> cython.long:
        is_pattern: cython.bint = self.channels == CHANNEL_PATTERNS
        end: cython.Py_ssize_t = 2 if self.channels == ONE_CHANNEL and argc > 2 else argc
        place: cython.Py_ssize_t
        for place in range(1, end):
            if not selector.allows_channel(cython.cast(bytes, argv[place]), is_pattern):
                return C_DENIED_CHANNEL | place << 2
        return C_ALLOWED


@cython.cfunc
def request_list(argv: cython.pointer[cython.pointer[PyObject]], argc: cython.Py_ssize_t) -> list:
    """The request for the functions that want one."""
    args: list = []
    i: cython.Py_ssize_t
    for i in range(argc):
        args.append(cython.cast(object, argv[i]))
    return args
