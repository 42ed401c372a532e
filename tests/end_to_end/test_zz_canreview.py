import asyncio
from test_can_simulated import *
def test_poll(boards):
    async def story(board):
        one, other = await joined(board)
        async with one, other:
            await one.send_many([Frame(i) for i in range(10)])
            got=[]
            for _ in range(50):
                try: got += await other.receive_many(timeout=0)
                except Exception as e: print("!!", repr(e)); break
                await asyncio.sleep(0.01)
            print("got", len(got))
            got += await other.receive_many(timeout=1)
            print("got", len(got))
    on_board(boards, story)
def test_poll2(boards):
    async def story(board):
        one, other = await joined(board)
        async with one, other:
            await one.send_many([Frame(i) for i in range(10)])
            try:
              for _ in range(5):
                print(len(await other.receive_many(timeout=0.0001)))
            except Exception as e: print("!!", repr(e))
    on_board(boards, story)
def test_play(run, tmp_path):
    (tmp_path/"x").write_bytes(bytes(range(256))*10)
    print(run("can","play",str(tmp_path/"x")))
    (tmp_path/"y").write_text("(1.0) can0 123#00\n")
    print(run("can","play",str(tmp_path/"y")))
    (tmp_path/"y").write_text("(1.0) nix0 123#00\n")
    print(run("can","play",str(tmp_path/"y")))
    print(run("can","dump","can0,#-5", "-n","1","-T","10"))
    print(run("can","dump","can0", "-n","1","-T","10","-f","/nonexistent/x"))
    print(run("can","send","../x","123#"))
    print(run("w1","read","../../etc/passwd","9"))
