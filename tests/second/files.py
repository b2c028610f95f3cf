"""Files in trees: where the policy is, and what a step changes below leases/."""
from documents import LIMIT, is_id
from objects import Bad

DEPTH = 16
# Names below leases/ that a step may change, and bytes of files that it may bring: any step, and the root's.
STEP, ROOT = (256, 64 << 10), (100_000, 256 << 20)


def entry(repository, tree, name):
    return repository.tree(tree).get(name)


def regular(mode):
    return mode & 0o170000 == 0o100000


def policy_blob(repository, tree):
    folder = entry(repository, tree, b".two-key")
    if folder is None:
        return None
    if folder[0] & 0o170000 != 0o040000:
        raise Bad("malformed", ".two-key is no folder")
    found = entry(repository, folder[1], b"policy.yaml")
    if found is None:
        return None
    if not regular(found[0]):
        raise Bad("malformed", "the policy is no file")
    return found[1]


def read(repository, oid):
    if oid is None:
        raise Bad("malformed", "no policy")
    return repository.blob(oid, LIMIT)


def entries(repository, folder):
    """A folder's entries: name to (kind, id). None for what is no folder that can be read."""
    try:
        found = repository.tree(folder) if folder else {}
    except Bad:
        return None
    kinds = {0o100000: "file", 0o040000: "folder"}
    return {name: (kinds[mode & 0o170000], child) if mode & 0o170000 in kinds else ("other", None) for name, (mode, child) in found.items()}


def leases_of(repository, tree):
    """What stands at leases/ in a tree: the id of a folder that can be read, None, or False for anything else."""
    root = entries(repository, tree)
    kind, child = (root or {}).get(b"leases", (None, None))
    if root is None or kind is not None and (kind != "folder" or entries(repository, child) is None):
        return False
    return child


def is_utf8(name):
    try:
        return bool(name.decode())
    except UnicodeDecodeError:
        return False


def spell(name):
    """A name as text; bytes that are not UTF-8 are spelled out."""
    return name.decode() if is_utf8(name) else repr(name)[2:-1]


def place(name, found, depth):
    """What a name is in a folder so many deep: a file's id, a Bad, None for nothing to look at; and a folder to look into."""
    kind, child = found
    if name.endswith(b".yaml"):
        return (child if kind == "file" else kind and Bad("malformed", "not a file")), None
    if kind != "folder":
        return None, None
    if not is_utf8(name):
        return Bad("malformed", "a folder that no path can name"), None
    return (None, child) if depth < DEPTH else (Bad("too-large", "too many folders deep"), None)


def changes(repository, before, after):
    """The paths below leases/ that a step changes: path to (the id that names the file or None, and a file's id, or None
    where nothing is any more, or the Bad that it is). Bad if they are more than a step may change."""
    found, (names, size) = {}, STEP if before else ROOT
    broken = Bad("malformed", "no folder that can be read")

    def compare(path, old, new, depth):
        nonlocal names
        if old == new:
            return
        olds, news = entries(repository, old), entries(repository, new)
        if (olds is None) != (news is None):
            found[path] = None, broken if news is None else None
        olds, news = olds or {}, news or {}
        for name in sorted({*olds, *news}):
            was, now = olds.get(name, (None, None)), news.get(name, (None, None))
            if was == now:
                continue
            names -= 1
            if names < 0:
                raise Bad("too-large", "the step changes too many names below leases/")
            below = f"{path}/{spell(name)}"
            (old_file, old_folder), (file, folder) = place(name, was, depth), place(name, now, depth)
            compare(below, old_folder, folder, depth + 1)
            if old_file != file and not (isinstance(file, Bad) and isinstance(old_file, Bad)):
                word = name.removesuffix(b".yaml").decode("utf-8", "replace")
                clean = name.endswith(b".yaml") and is_id(word) and not {".", ".."} & set(path.split("/"))
                if not clean and file is not None and not isinstance(file, Bad):
                    if is_utf8(name):
                        weigh(file)
                    file = Bad("malformed", "a file that no id names")
                found[below] = word if clean else None, file

    def weigh(file):
        nonlocal size
        try:
            size -= len(repository.blob(file, LIMIT))
        except Bad:
            pass
        if size < 0:
            raise Bad("too-large", "the step brings too many bytes below leases/")

    old, new = leases_of(repository, before) if before else None, leases_of(repository, after)
    compare("leases", old or None, new or None, 1)
    for _, file in found.values():
        if file is not None and not isinstance(file, Bad):
            weigh(file)
    if (old is False) != (new is False):
        found["leases"] = None, Bad("malformed", "leases is no folder") if new is False else None
    return found
