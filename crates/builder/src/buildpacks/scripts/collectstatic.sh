# Runs Django's collectstatic if Django is installed. Argument: the path of manage.py.
manage=$1
python -c 'import sys, importlib.util; sys.exit(importlib.util.find_spec("django") is None)' || exit 0
echo "-----> \$ python $manage collectstatic --noinput"
exec python "$manage" collectstatic --noinput --traceback
