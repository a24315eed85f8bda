"""Lua 5.1's C interface, and how functions of ours are called through it.

Lua reports errors by longjmp, which would skip what Cython does at the end of a function. So no function of ours is
called by Lua, and none of ours lets Lua raise:

    Lua -> enter (C) -> body(L, owner) -> n >= 0: results on the stack; RAISE: the error value is on top, enter raises it

While a body runs, memory is given beyond the limit (so Lua's own "not enough memory" does not fly through it), and
nothing is called that may raise: raw access only, no conversions that fail, a stack that was checked.
"""


cdef extern from *:
    """
    #include <stddef.h>
    #include <stdlib.h>
    #include <string.h>
    typedef struct lua_State lua_State;
    typedef int (*lua_CFunction)(lua_State *);
    typedef void *(*lua_Alloc)(void *, void *, size_t, size_t);
    /* As in lua.h; longer than any build of 5.1 has it. */
    typedef struct {
        int event;
        const char *name, *namewhat, *what, *source;
        int currentline, nups, linedefined, lastlinedefined;
        char rest[1024];
    } lua_Debug;
    typedef void (*lua_Hook)(lua_State *, lua_Debug *);

    extern lua_State *lua_newstate(lua_Alloc, void *);
    extern void lua_close(lua_State *);
    extern lua_CFunction lua_atpanic(lua_State *, lua_CFunction);
    extern lua_Alloc lua_getallocf(lua_State *, void **);
    extern int lua_gettop(lua_State *);
    extern void lua_settop(lua_State *, int);
    extern void lua_pushvalue(lua_State *, int);
    extern void lua_remove(lua_State *, int);
    extern void lua_insert(lua_State *, int);
    extern void lua_replace(lua_State *, int);
    extern int lua_checkstack(lua_State *, int);
    extern int lua_type(lua_State *, int);
    extern const char *lua_typename(lua_State *, int);
    extern int lua_toboolean(lua_State *, int);
    extern int lua_isnumber(lua_State *, int);
    extern double lua_tonumber(lua_State *, int);
    extern const char *lua_tolstring(lua_State *, int, size_t *);
    extern size_t lua_objlen(lua_State *, int);
    extern lua_CFunction lua_tocfunction(lua_State *, int);
    extern void *lua_touserdata(lua_State *, int);
    extern void *lua_newuserdata(lua_State *, size_t);
    extern const void *lua_topointer(lua_State *, int);
    extern void lua_pushnil(lua_State *);
    extern void lua_pushnumber(lua_State *, double);
    extern void lua_pushlstring(lua_State *, const char *, size_t);
    extern void lua_pushstring(lua_State *, const char *);
    extern void lua_pushcclosure(lua_State *, lua_CFunction, int);
    extern void lua_pushboolean(lua_State *, int);
    extern void lua_pushlightuserdata(lua_State *, void *);
    extern void lua_rawget(lua_State *, int);
    extern void lua_rawgeti(lua_State *, int, int);
    extern void lua_createtable(lua_State *, int, int);
    extern int lua_getmetatable(lua_State *, int);
    extern void lua_rawset(lua_State *, int);
    extern void lua_rawseti(lua_State *, int, int);
    extern int lua_setmetatable(lua_State *, int);
    extern void lua_setfield(lua_State *, int, const char *);
    extern void lua_getfield(lua_State *, int, const char *);
    extern int lua_next(lua_State *, int);
    extern int lua_pcall(lua_State *, int, int, int);
    extern void lua_call(lua_State *, int, int);
    extern int lua_error(lua_State *);
    extern int lua_gc(lua_State *, int, int);
    extern int lua_sethook(lua_State *, lua_Hook, int, int);
    extern int lua_getstack(lua_State *, int, lua_Debug *);
    extern int lua_getinfo(lua_State *, const char *, lua_Debug *);
    extern int luaL_error(lua_State *, const char *, ...);
    extern void luaL_where(lua_State *, int);
    extern int luaL_loadbuffer(lua_State *, const char *, size_t, const char *);
    extern int luaL_ref(lua_State *, int);
    extern void luaL_unref(lua_State *, int, int);
    extern int luaopen_base(lua_State *);
    extern int luaopen_table(lua_State *);
    extern int luaopen_string(lua_State *);
    extern int luaopen_math(lua_State *);

    enum {
        LUA_NIL = 0, LUA_BOOLEAN, LUA_LIGHTUSERDATA, LUA_NUMBER, LUA_STRING, LUA_TABLE, LUA_FUNCTION, LUA_USERDATA,
        LUA_THREAD,
        LUA_REGISTRY = -10000, LUA_GLOBALS = -10002, LUA_UPVALUE_1 = -10003, LUA_UPVALUE_2 = -10004,
        LUA_RAISE = -1,
        LUA_COLLECT = 2, LUA_STEP = 5,
        LUA_MASK_LINE = 4, LUA_MASK_COUNT = 8
    };

    /* What a state's allocator knows. relaxed: a body of ours runs, the limit does not hold. */
    typedef struct {
        size_t used, limit;
        int relaxed;
        void *owner;
        int (*on_count)(void *owner, lua_State *L);
    } minikv_lua;

    typedef int (*minikv_body)(lua_State *L, void *owner);

    static void *minikv_lua_alloc(void *state, void *block, size_t old_size, size_t size)
    {
        minikv_lua *lua = state;
        if (block == NULL)
            old_size = 0;
        if (size == 0) {
            free(block);
            lua->used -= old_size;
            return NULL;
        }
        if (size > old_size && !lua->relaxed && lua->used + (size - old_size) > lua->limit)
            return NULL;
        void *moved = realloc(block, size);
        if (moved != NULL)
            lua->used += size - old_size;
        return moved;
    }

    static inline minikv_lua *minikv_lua_of(lua_State *L)
    {
        void *state;
        lua_getallocf(L, &state);
        return state;
    }

    static int minikv_lua_enter(lua_State *L)
    {
        minikv_lua *lua = minikv_lua_of(L);
        minikv_body body = (minikv_body) lua_touserdata(L, LUA_UPVALUE_1);
        lua->relaxed++;
        int results = body(L, lua->owner);
        lua->relaxed--;
        return results < 0 ? lua_error(L) : results;
    }

    static inline void minikv_lua_push_body(lua_State *L, minikv_body body)
    {
        lua_pushlightuserdata(L, (void *) body);
        lua_pushcclosure(L, minikv_lua_enter, 1);
    }

    /* The same with a second upvalue, which is on top of the stack. */
    static inline void minikv_lua_push_body_with(lua_State *L, minikv_body body)
    {
        lua_pushlightuserdata(L, (void *) body);
        lua_insert(L, -2);
        lua_pushcclosure(L, minikv_lua_enter, 2);
    }

    static void minikv_lua_count(lua_State *L, lua_Debug *record)
    {
        minikv_lua *lua = minikv_lua_of(L);
        (void) record;
        lua->relaxed++;
        int results = lua->on_count(lua->owner, L);
        lua->relaxed--;
        if (results < 0) {
            /* At every line from now on, lest pcall goes on as if nothing had happened. */
            lua_sethook(L, minikv_lua_count, LUA_MASK_LINE | LUA_MASK_COUNT, 1);
            lua_error(L);
        }
    }

    /* Protected tables: scripts see an empty table whose metatable has the real one under this key. */
    static char minikv_lua_mark;

    static inline int minikv_lua_push_backing(lua_State *L, int index)
    {
        if (lua_type(L, index) != LUA_TABLE || !lua_getmetatable(L, index))
            return 0;
        lua_pushlightuserdata(L, &minikv_lua_mark);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        if (lua_type(L, -1) == LUA_TABLE)
            return 1;
        lua_settop(L, -2);
        return 0;
    }

    static int minikv_lua_refuse(lua_State *L)
    {
        return luaL_error(L, "Attempt to modify a readonly table");
    }

    static int minikv_lua_missing(lua_State *L)
    {
        const char *name = lua_type(L, 2) == LUA_STRING || lua_type(L, 2) == LUA_NUMBER ? lua_tolstring(L, 2, NULL)
                                                                                        : "(null)";
        return luaL_error(L, "Script attempted to access nonexistent global variable '%s'", name);
    }

    /* A function of Lua's that changes its first argument. It runs in this function's place, so its errors name it. */
    static int minikv_lua_writer(lua_State *L)
    {
        if (minikv_lua_push_backing(L, 1)) {
            lua_pushstring(L, "Attempt to modify a readonly table");
            return lua_error(L);
        }
        lua_CFunction original = (lua_CFunction) lua_touserdata(L, LUA_UPVALUE_1);
        return original(L);
    }

    /* One that reads it. */
    static int minikv_lua_reader(lua_State *L)
    {
        lua_CFunction original = (lua_CFunction) lua_touserdata(L, LUA_UPVALUE_1);
        if (minikv_lua_push_backing(L, 1))
            lua_replace(L, 1);
        return original(L);
    }

    /* unpack: Lua 5.1 counts in int, and a range of 2^31 places or more would overflow it. */
    static int minikv_lua_unpack(lua_State *L)
    {
        lua_CFunction original = (lua_CFunction) lua_touserdata(L, LUA_UPVALUE_1);
        if (lua_type(L, 3) == LUA_NUMBER || lua_type(L, 3) == LUA_STRING) {
            int first = lua_gettop(L) > 1 && lua_type(L, 2) != LUA_NIL ? (int) (long long) lua_tonumber(L, 2) : 1;
            int last = (int) (long long) lua_tonumber(L, 3);
            if (first <= last && (unsigned) last - (unsigned) first >= 0x7fffffffU)
                return luaL_error(L, "too many results to unpack");
        }
        return original(L);
    }

    /* pairs: upvalues Lua's next, and next for protected tables. */
    static int minikv_lua_pairs(lua_State *L)
    {
        int protected = minikv_lua_push_backing(L, 1);
        if (lua_type(L, 1) != LUA_TABLE) {
            const char *given = lua_gettop(L) > 0 ? lua_typename(L, lua_type(L, 1)) : "no value";
            return luaL_error(L, "bad argument #1 to 'pairs' (table expected, got %s)", given);
        }
        lua_pushvalue(L, protected ? LUA_UPVALUE_2 : LUA_UPVALUE_1);
        lua_pushvalue(L, 1);
        lua_pushnil(L);
        return 3;
    }

    /* Of a protected table, and of strings, only what was made to be shown. */
    static int minikv_lua_getmetatable(lua_State *L)
    {
        lua_CFunction original = (lua_CFunction) lua_touserdata(L, LUA_UPVALUE_1);
        int is_string = lua_type(L, 1) == LUA_STRING;
        if ((is_string || minikv_lua_push_backing(L, 1)) && lua_getmetatable(L, 1)) {
            lua_pushstring(L, "shown");
            lua_rawget(L, -2);
            return 1;
        }
        return original(L);
    }

    /* pcall: of an error that is a table with the field err, as those of redis.call are, the script gets the text. */
    static int minikv_lua_pcall(lua_State *L)
    {
        if (lua_gettop(L) == 0)
            lua_pushnil(L);
        int failed = lua_pcall(L, lua_gettop(L) - 1, -1, 0);
        if (failed && lua_type(L, -1) == LUA_TABLE) {
            lua_pushstring(L, "err");
            lua_rawget(L, -2);
            if (lua_type(L, -1) == LUA_STRING || lua_type(L, -1) == LUA_NUMBER)
                lua_replace(L, -2);
            else
                lua_settop(L, -2);
        }
        lua_pushboolean(L, !failed);
        lua_insert(L, 1);
        return lua_gettop(L);
    }

    /* xpcall, whose handler runs when the error has ended the function: inside an error that the hook has raised, no hook
       would end an endless handler. */
    static int minikv_lua_xpcall(lua_State *L)
    {
        if (lua_gettop(L) < 2)
            return luaL_error(L, "bad argument #2 to 'xpcall' (value expected)");
        lua_settop(L, 2);
        lua_insert(L, 1);
        if (!lua_pcall(L, 0, -1, 0)) {
            lua_pushboolean(L, 1);
            lua_replace(L, 1);
            return lua_gettop(L);
        }
        lua_pcall(L, 1, 1, 0);
        lua_pushboolean(L, 0);
        lua_insert(L, 1);
        return 2;
    }

    /* Only source is loaded; bytecode is made a syntax error. */
    static int minikv_lua_loadstring(lua_State *L)
    {
        size_t length = 0;
        lua_CFunction original = (lua_CFunction) lua_touserdata(L, LUA_UPVALUE_1);
        const char *text = lua_type(L, 1) == LUA_STRING ? lua_tolstring(L, 1, &length) : NULL;
        if (length > 0 && text[0] == 27) {
            lua_settop(L, 1);
            lua_pushnil(L);
            lua_pushstring(L, "bytecode is not loaded");
            return 2;
        }
        return original(L);
    }

    /* wrap(kind, function, extra): one of the functions above around one of Lua's; for the prelude. */
    static int minikv_lua_wrap(lua_State *L)
    {
        const char *kind = lua_tolstring(L, 1, NULL);
        if (!strcmp(kind, "refuse")) {
            lua_pushcclosure(L, minikv_lua_refuse, 0);
            return 1;
        }
        if (!strcmp(kind, "missing")) {
            lua_pushcclosure(L, minikv_lua_missing, 0);
            return 1;
        }
        if (!strcmp(kind, "mark")) {
            lua_pushlightuserdata(L, &minikv_lua_mark);
            return 1;
        }
        if (!strcmp(kind, "pcall")) {
            lua_pushcclosure(L, minikv_lua_pcall, 0);
            return 1;
        }
        if (!strcmp(kind, "xpcall")) {
            lua_pushcclosure(L, minikv_lua_xpcall, 0);
            return 1;
        }
        if (!strcmp(kind, "pairs")) {
            lua_pushvalue(L, 2);
            lua_pushvalue(L, 3);
            lua_pushcclosure(L, minikv_lua_pairs, 2);
            return 1;
        }
        lua_pushlightuserdata(L, (void *) lua_tocfunction(L, 2));
        lua_pushcclosure(L, !strcmp(kind, "writer") ? minikv_lua_writer
                          : !strcmp(kind, "reader") ? minikv_lua_reader
                          : !strcmp(kind, "unpack") ? minikv_lua_unpack
                          : !strcmp(kind, "getmetatable") ? minikv_lua_getmetatable : minikv_lua_loadstring, 1);
        return 1;
    }

    static inline void minikv_lua_open(lua_State *L, lua_CFunction open, const char *name)
    {
        lua_pushcclosure(L, open, 0);
        lua_pushstring(L, name);
        lua_call(L, 1, 0);
    }

    static inline lua_State *minikv_lua_new(minikv_lua *lua)
    {
        lua_State *L = lua_newstate(minikv_lua_alloc, lua);
        if (L != NULL) {
            minikv_lua_open(L, luaopen_base, "");
            minikv_lua_open(L, luaopen_table, "table");
            minikv_lua_open(L, luaopen_string, "string");
            minikv_lua_open(L, luaopen_math, "math");
            lua_pushcclosure(L, minikv_lua_wrap, 0);
            lua_setfield(L, LUA_GLOBALS, "wrap");
        }
        return L;
    }

    static inline void minikv_lua_watch(lua_State *L, int instructions)
    {
        lua_sethook(L, minikv_lua_count, LUA_MASK_COUNT, instructions);
    }

    static inline void minikv_lua_unwatch(lua_State *L)
    {
        lua_sethook(L, NULL, 0, 0);
    }
    """
    ctypedef struct lua_State:
        pass
    ctypedef struct lua_Debug:
        const char *name
        const char *what
        const char *source
        int currentline
    ctypedef struct minikv_lua:
        size_t used, limit
        int relaxed
        void *owner
        int (*on_count)(void *owner, lua_State *L) noexcept
    ctypedef int (*minikv_body)(lua_State *L, void *owner) noexcept
    enum:
        LUA_NIL, LUA_BOOLEAN, LUA_LIGHTUSERDATA, LUA_NUMBER, LUA_STRING, LUA_TABLE, LUA_FUNCTION, LUA_USERDATA, LUA_THREAD
        LUA_REGISTRY, LUA_GLOBALS, LUA_UPVALUE_2
        LUA_RAISE
        LUA_COLLECT, LUA_STEP

    lua_State *minikv_lua_new(minikv_lua *lua)
    minikv_lua *minikv_lua_of(lua_State *L)
    void minikv_lua_push_body(lua_State *L, minikv_body body)
    void minikv_lua_push_body_with(lua_State *L, minikv_body body)
    void minikv_lua_watch(lua_State *L, int instructions)
    void minikv_lua_unwatch(lua_State *L)
    bint minikv_lua_push_backing(lua_State *L, int index)
    void lua_close(lua_State *L)
    int lua_gettop(lua_State *L)
    void lua_settop(lua_State *L, int index)
    void lua_pushvalue(lua_State *L, int index)
    void lua_remove(lua_State *L, int index)
    void lua_insert(lua_State *L, int index)
    void lua_replace(lua_State *L, int index)
    bint lua_checkstack(lua_State *L, int more)
    int lua_type(lua_State *L, int index)
    const char *lua_typename(lua_State *L, int type)
    bint lua_toboolean(lua_State *L, int index)
    bint lua_isnumber(lua_State *L, int index)
    double lua_tonumber(lua_State *L, int index)
    const char *lua_tolstring(lua_State *L, int index, size_t *length)
    size_t lua_objlen(lua_State *L, int index)
    void *lua_touserdata(lua_State *L, int index)
    void *lua_newuserdata(lua_State *L, size_t size)
    const void *lua_topointer(lua_State *L, int index)
    void lua_pushnil(lua_State *L)
    void lua_pushnumber(lua_State *L, double number)
    void lua_pushlstring(lua_State *L, const char *text, size_t length)
    void lua_pushstring(lua_State *L, const char *text)
    void lua_pushboolean(lua_State *L, bint value)
    void lua_pushlightuserdata(lua_State *L, void *value)
    void lua_rawget(lua_State *L, int index)
    void lua_rawgeti(lua_State *L, int index, int n)
    void lua_createtable(lua_State *L, int array, int records)
    bint lua_getmetatable(lua_State *L, int index)
    void lua_rawset(lua_State *L, int index)
    void lua_rawseti(lua_State *L, int index, int n)
    void lua_setmetatable(lua_State *L, int index)
    bint lua_next(lua_State *L, int index)
    int lua_pcall(lua_State *L, int arguments, int results, int handler)
    int lua_gc(lua_State *L, int what, int data)
    bint lua_getstack(lua_State *L, int level, lua_Debug *record)
    int lua_getinfo(lua_State *L, const char *what, lua_Debug *record)
    void luaL_where(lua_State *L, int level)
    int luaL_loadbuffer(lua_State *L, const char *text, size_t length, const char *name)
    int luaL_ref(lua_State *L, int table)
    void luaL_unref(lua_State *L, int table, int reference)


cdef extern from "<stdlib.h>":
    long nrand48(unsigned short *state)
